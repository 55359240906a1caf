// Claims: the line serves in the order it states; nobody is asked twice for nothing; places and times are
// those that come true.
#include "router/core/waiting_line.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace cortensor::router {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Answer = WaitingLine::Answer;

class WaitingLineTest : public ::testing::Test {
 protected:
  static WaitingLine::Wish wish(const std::string& task, std::uint32_t choice = 0,
                                Clock::duration patience = seconds(60),
                                QueueClass queue_class = QueueClass::interactive, std::uint8_t model = 1) {
    Digest digest{};
    digest[0] = model;
    return {{TaskId(task), choice}, digest, queue_class, patience};
  }
  void push(const WaitingLine::Wish& one, bool first = false) { EXPECT_TRUE(line.push(one, now, first)); }
  // Those that `slots` free slots go to, as "task.choice ".
  std::string serve(std::size_t slots) {
    std::string served;
    line.wake();
    line.serve(now, [&](const Place& place) {
      ++offers;
      if (slots == 0) return Answer::none;
      --slots;
      served += place.task.value + "." + std::to_string(place.choice) + " ";
      return Answer::served;
    });
    return served;
  }
  std::size_t place(const std::string& task) { return line.standing(TaskId(task), now)->place; }

  WaitingLine line;
  Clock::time_point now{std::chrono::hours(1)};
  std::size_t offers = 0;
};

TEST_F(WaitingLineTest, TheEarliestDueIsFirstThenWhoCameFirst) {
  push(wish("a"));
  push(wish("b", 0, seconds(5)));
  push(wish("c"));
  now += seconds(1);
  push(wish("d", 0, seconds(4)));  // due together with b, and came later
  push(wish("e", 0, seconds(3)));
  EXPECT_EQ(place("e"), 1u);
  EXPECT_EQ(place("d"), 3u);
  EXPECT_EQ(serve(9), "e.0 b.0 d.0 a.0 c.0 ");
  EXPECT_EQ(line.size(), 0u);
}

TEST_F(WaitingLineTest, BatchWorkGetsWhatInteractiveWorkLeavesOver) {
  push(wish("batch", 0, seconds(1), QueueClass::batch));
  push(wish("talk", 0, seconds(60)));
  push(wish("other", 0, seconds(1), QueueClass::batch, 2));
  EXPECT_EQ(place("batch"), 2u);
  EXPECT_EQ(place("other"), 1u);  // nobody is before it at its own model
  EXPECT_EQ(line.size(QueueClass::batch), 2u);
  EXPECT_EQ(line.size(wish("talk").model, QueueClass::interactive), 1u);
  EXPECT_EQ(serve(1), "talk.0 ");
  EXPECT_EQ(serve(2), "batch.0 other.0 ");
}

TEST_F(WaitingLineTest, TasksTakeTurns) {
  for (std::uint32_t i = 0; i < 3; ++i) push(wish("many", i));
  now += seconds(1);
  push(wish("one"));
  push(wish("two", 0)), push(wish("two", 1));
  EXPECT_EQ(serve(1), "many.0 ");
  EXPECT_EQ(place("one"), 1u);
  EXPECT_EQ(place("many"), 3u);  // its next one is due as if it had come now
  now += seconds(1);
  push(wish("late"));
  EXPECT_EQ(serve(9), "one.0 two.0 many.1 late.0 two.1 many.2 ");
}

// However many come, one after the other, each choice of a task is served in the end.
TEST_F(WaitingLineTest, NewcomersDoNotStarveATaskOfManyChoices) {
  for (std::uint32_t i = 0; i < 5; ++i) push(wish("many", i));
  std::string served;
  for (int i = 0; i < 40; ++i) {
    push(wish("new" + std::to_string(i)));
    now += seconds(1);
    served += serve(1);
  }
  for (std::uint32_t i = 0; i < 5; ++i)
    EXPECT_NE(served.find("many." + std::to_string(i)), std::string::npos) << served;
}

TEST_F(WaitingLineTest, WhoLostItsNodeGoesFirstInItsClass) {
  push(wish("a", 0, seconds(1)));
  push(wish("lost", 3), true);
  push(wish("batch", 0, seconds(1), QueueClass::batch), true);
  EXPECT_FALSE(line.push(wish("a"), now, true));  // waits already
  EXPECT_EQ(serve(9), "lost.3 a.0 batch.0 ");
}

TEST_F(WaitingLineTest, WhoGoesTakesItsChoicesAlong) {
  push(wish("a", 0)), push(wish("a", 1)), push(wish("b"));
  line.remove(TaskId("a"), now);
  line.remove(TaskId("nobody"), now);
  EXPECT_FALSE(line.standing(TaskId("a"), now));
  EXPECT_EQ(line.size(), 1u);
  EXPECT_EQ(serve(9), "b.0 ");
}

TEST_F(WaitingLineTest, NobodyIsAskedAgainBeforeSomethingMayBeFree) {
  for (int i = 0; i < 100; ++i) push(wish(std::to_string(i)));
  EXPECT_EQ(serve(0), "");
  EXPECT_EQ(offers, 1u);
  const auto unexpected = [](const Place&) { return ADD_FAILURE(), Answer::none; };
  push(wish("new", 0, seconds(1)));
  line.serve(now, unexpected);
}

TEST_F(WaitingLineTest, WhomItDoesNotSuitLetsOthersPass) {
  push(wish("picky")), push(wish("next"));
  std::vector<std::string> asked;
  const auto offer = [&](const Place& place) {
    asked.push_back(place.task.value);
    return place.task.value == "picky" ? Answer::unfit : Answer::served;
  };
  line.serve(now, offer);
  push(wish("third"));
  line.serve(now, offer);
  EXPECT_EQ(asked, (std::vector<std::string>{"picky", "next", "third"}));
  push(wish("fourth"));
  EXPECT_EQ(place("picky"), 1u);
  EXPECT_EQ(place("fourth"), 2u);
  EXPECT_EQ(serve(1), "picky.0 ");
}

TEST_F(WaitingLineTest, WhatSuitsNobodyIsNotOfferedToEverybody) {
  for (int i = 0; i < 1000; ++i) push(wish(std::to_string(i)));
  const auto offer = [this](const Place&) { return ++offers, Answer::unfit; };
  for (int i = 0; i < 3; ++i) line.serve(now, offer);
  EXPECT_EQ(offers, 64u);
  line.wake();
  line.serve(now, offer);
  EXPECT_EQ(offers, 128u);
}

TEST_F(WaitingLineTest, WhoWantsSeveralIsAskedUntilItHasThem) {
  push(wish("three")), push(wish("next"));
  int given = 0;
  line.serve(now, [&](const Place& place) {
    EXPECT_EQ(place.task.value, "three");
    if (given == 2) return Answer::none;
    return ++given, Answer::more;
  });
  EXPECT_EQ(given, 2);
  EXPECT_EQ(place("next"), 2u);
}

TEST_F(WaitingLineTest, AnOfferMayChangeTheLine) {
  push(wish("a", 0)), push(wish("a", 1)), push(wish("b"));
  std::string asked;
  line.serve(now, [&](const Place& place) {
    asked += place.task.value;
    if (place.task.value == "a") line.remove(place.task, now);
    return Answer::served;
  });
  EXPECT_EQ(asked, "ab");
}

TEST_F(WaitingLineTest, TheEtaIsTheMeanTimeBetweenTwoThatAreServed) {
  EXPECT_EQ(line.newcomer(wish("x"), now).place, 1u);
  for (int i = 0; i < 12; ++i) push(wish(std::to_string(i)));
  serve(0);
  EXPECT_FALSE(line.newcomer(wish("x"), now).has_eta());
  for (int i = 0; i < 4; ++i) {
    now += i % 2 == 0 ? seconds(1) : seconds(3);
    serve(1);
  }
  const Standing last = *line.standing(TaskId("11"), now);
  EXPECT_EQ(last.measurements, 4u);
  EXPECT_EQ(last.place, 8u);
  EXPECT_EQ(last.eta, 8 * seconds(2));
  EXPECT_EQ(line.newcomer(wish("x"), now).eta, 9 * seconds(2));
  EXPECT_EQ(line.newcomer(wish("x", 0, seconds(1)), now).eta, seconds(2));
  EXPECT_EQ(line.newcomer(wish("x", 0, seconds(1), QueueClass::batch), now).eta, 9 * seconds(2));
  now += seconds(5);  // it has stood still for longer than that: if it ended now, the mean of five would be
  EXPECT_EQ(line.interval(wish("x").model, now), milliseconds(2600));
}

// Who is served on arrival says nothing about those who have to wait.
TEST_F(WaitingLineTest, IdleTimeIsNotMeasured) {
  for (int i = 0; i < 5; ++i) {
    push(wish("a"));
    serve(1);
    now += seconds(100);
  }
  EXPECT_FALSE(line.newcomer(wish("x"), now).has_eta());
  push(wish("a")), push(wish("b"));
  serve(0);
  now += milliseconds(500);
  EXPECT_EQ(serve(2), "a.0 b.0 ");
  now += seconds(100);
  EXPECT_EQ(line.interval(wish("x").model, now), milliseconds(250));
}

}  // namespace
}  // namespace cortensor::router
