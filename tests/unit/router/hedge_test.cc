// Claims: an answer whose first token is late is begun by a second miner, within a budget; the first to begin
// is heard, the other one's beginning is compared and nobody pays for it.
#include <gmock/gmock.h>

#include "world.h"

namespace cortensor::router {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class HedgeTest : public World {
 protected:
  // A task's name decides where chance does in the choice of its miner: here it is the same in every run.
  HedgeTest()
      : World([] {
          CoreOptions options;
          options.segment_tokens = 4;
          options.make_name = [made = 0](std::string_view prefix, int) mutable {
            return std::string(prefix) + std::to_string(++made);
          };
          return options;
        }()) {}

  std::vector<protocol::Assign> assigned(const FakeNode& node) { return node.heard<protocol::Assign>(); }
  // The first miner has been given an answer and lets its time pass; the second one is asked.
  Run late(const ledger::Session& session) {
    const Run run = submit(session);
    EXPECT_EQ(busy(slow), 1u);
    executor.advance(milliseconds(900));
    EXPECT_EQ(busy(quick), 0u);
    executor.advance(milliseconds(400));
    EXPECT_EQ(busy(quick), 1u);
    return run;
  }
  std::size_t busy(const FakeNode& node) { return core->nodes().nodes().at(node.link).busy; }
  const MinerRecord& record(const FakeNode& node) {
    return *core->nodes().nodes().at(node.link).models.at(0).record;
  }
  void let_go(FakeNode& node) {
    node.say(protocol::AttemptFailed{assigned(node).back().attempt, ErrorKind::cancelled, "cancelled"});
  }
  // Second attempts are earned by answers that need none.
  void answer_many(const ledger::Session& session, int count) {
    FakeNode& third = add_miner(1, 9000);
    for (int i = 0; i < count; ++i) {
      submit(session);
      for (FakeNode* node : {&third, &slow, &quick})
        if (busy(*node) > 0) node->run(assigned(*node).back());
    }
    links.cut(third.link);
  }

  FakeNode& slow = add_miner(1, 400);
  FakeNode& quick = add_miner(1, 100);
};

TEST_F(HedgeTest, TheSecondMinerAnswersAndIsPaidAlone) {
  const auto session = open();
  const Run run = late(session);
  quick.run(assigned(quick)[0]);
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->texts[0], text_of(quick.answer(assigned(quick)[0]), *model));
  EXPECT_THAT(run.heard->result->choices[0].miners, ElementsAre(quick.id));
  EXPECT_EQ(earned(slow.id).micro, 0);
  EXPECT_GT(earned(quick.id).micro, 0);
  ASSERT_THAT(slow.heard<protocol::Cancel>(), SizeIs(1));
  EXPECT_EQ(busy(slow), 1u);  // until it has let go
  slow.say(protocol::AttemptFailed{assigned(slow)[0].attempt, ErrorKind::cancelled, "cancelled"});
  EXPECT_EQ(busy(slow), 0u);
  EXPECT_EQ(busy(quick), 0u);
}

TEST_F(HedgeTest, TheFirstOneThatBeginsAfterAllGoesOnAndTheOtherIsComparedAndStopped) {
  const Run run = late(open());
  slow.send_steps(assigned(slow)[0], 0, 10);
  quick.send_steps(assigned(quick)[0], 0, 7);
  EXPECT_THAT(quick.heard<protocol::Cancel>(), IsEmpty());
  quick.send_steps(assigned(quick)[0], 7, 8);
  EXPECT_THAT(quick.heard<protocol::Cancel>(), SizeIs(1));
  slow.send_steps(assigned(slow)[0], 10, SIZE_MAX);
  slow.submit(assigned(slow)[0]);
  ASSERT_TRUE(run.heard->result);
  EXPECT_THAT(run.heard->result->choices[0].miners, ElementsAre(slow.id));
  EXPECT_EQ(run.heard->result->choices[0].outcome, ledger::TaskOutcome::unchecked);
  EXPECT_EQ(earned(quick.id).micro, 0);
}

TEST_F(HedgeTest, EveryTokenComesFromWhoeverHasItFirst) {
  const Run run = late(open());
  slow.send_steps(assigned(slow)[0], 0, 3);
  quick.send_steps(assigned(quick)[0], 0, 5);
  EXPECT_EQ(run.heard->tokens[0], 5u);
  slow.send_steps(assigned(slow)[0], 3, 7);
  EXPECT_EQ(run.heard->tokens[0], 7u);
  quick.send_steps(assigned(quick)[0], 5, 8);  // it is ahead again
  EXPECT_EQ(run.heard->tokens[0], 8u);
  slow.send_steps(assigned(slow)[0], 7, 8);
  EXPECT_THAT(slow.heard<protocol::Cancel>(), SizeIs(1));
  quick.send_steps(assigned(quick)[0], 8, SIZE_MAX);
  quick.submit(assigned(quick)[0]);
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->texts[0], text_of(quick.answer(assigned(quick)[0]), *model));
  EXPECT_THAT(run.heard->result->choices[0].miners, ElementsAre(quick.id));
}

TEST_F(HedgeTest, AnAnswerThatStandsStillIsGoneOnWithByASecondMiner) {
  const auto session = open();
  const Run run = submit(session);
  slow.send_segment(assigned(slow)[0], 0, 4);
  slow.send_steps(assigned(slow)[0], 4, 5);
  const double pace = record(slow).token(1);
  executor.advance(milliseconds(900));
  EXPECT_THAT(assigned(quick), IsEmpty());
  executor.advance(milliseconds(300));
  ASSERT_THAT(assigned(quick), SizeIs(1));
  EXPECT_THAT(assigned(quick)[0].given, SizeIs(5));
  quick.send_steps(assigned(quick)[0], 0, 5);
  EXPECT_THAT(slow.heard<protocol::Cancel>(), IsEmpty());
  slow.send_steps(assigned(slow)[0], 5, 9);
  executor.advance(milliseconds(1200));
  quick.send_steps(assigned(quick)[0], 5, 10);
  EXPECT_EQ(run.heard->tokens[0], 10u);
  EXPECT_THAT(slow.heard<protocol::Cancel>(), IsEmpty());  // overtaken, but not compared yet
  quick.send_steps(assigned(quick)[0], 10, SIZE_MAX);
  quick.submit(assigned(quick)[0]);
  EXPECT_THAT(slow.heard<protocol::Cancel>(), SizeIs(1));
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->texts[0], text_of(quick.answer(assigned(quick)[0]), *model));
  EXPECT_EQ(earned(slow.id).micro, 32);  // of 105, for 4 tokens of 13
  EXPECT_EQ(earned(quick.id).micro, 73);
  EXPECT_GT(record(slow).token(1), pace);
  EXPECT_LT(record(slow).reliability(executor.now()), 1);
}

TEST_F(HedgeTest, WhoIsAsFastAsExpectedIsLeftAlone) {
  links.cut(slow.link), links.cut(quick.link);
  FakeNode& first = add_miner(1, 10);  // 16 tokens in 1.6 s: late after 4.8 s
  FakeNode& second = add_miner(1, 5);
  submit(open());
  first.send_steps(assigned(first)[0], 0, 2);
  executor.advance(milliseconds(4600));
  EXPECT_THAT(assigned(second), IsEmpty());
  executor.advance(milliseconds(400));
  EXPECT_THAT(assigned(second), SizeIs(1));
}

TEST_F(HedgeTest, WhoSignsSomethingElseFirstTakesNothingFromTheOther) {
  FakeNode& third = add_miner(1, 50);
  FakeNode& validator = add_validator();
  quick.lies_at = 1;
  const Run run = late(open());
  slow.send_steps(assigned(slow)[0], 0, 3);
  quick.send_segment(assigned(quick)[0], 0, 4);
  slow.send_segment(assigned(slow)[0], 3, 4);
  links.cut(slow.link);
  ASSERT_THAT(assigned(third), SizeIs(1));
  third.run(assigned(third)[0]);
  validator.judge();
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->result->choices[0].outcome, ledger::TaskOutcome::valid);
  EXPECT_EQ(earned(slow.id).micro, 32);
  EXPECT_EQ(earned(third.id).micro, 73);
  EXPECT_EQ(ledger->node(quick.id)->strikes, 1u);
}

TEST_F(HedgeTest, WhatTheLostOneSignedIsHeldAgainstWhatTheOtherMade) {
  FakeNode& validator = add_validator();
  slow.wrong_digest_at = 2;
  const Run run = late(open());
  slow.send_segment(assigned(slow)[0], 0, 4);
  quick.send_steps(assigned(quick)[0], 0, 4);
  links.cut(slow.link);
  quick.send_steps(assigned(quick)[0], 4, SIZE_MAX);
  quick.submit(assigned(quick)[0]);
  EXPECT_FALSE(run.heard->result);
  validator.judge();
  ASSERT_TRUE(run.heard->result);
  EXPECT_TRUE(quarantined(slow));
  EXPECT_EQ(earned(slow.id).micro, 0);
}

TEST_F(HedgeTest, WhoGoesOnAtItsPaceIsNotLateHoweverLongTheAnswer) {
  slow.length = 100;
  submit(open(), {request(1, 150)});
  std::size_t sent = 1;
  slow.send_steps(assigned(slow)[0], 0, sent);
  for (int stride = 0; stride < 4; ++stride) {
    executor.advance(milliseconds(900));
    slow.send_steps(assigned(slow)[0], sent, sent + Attempt::kStride);
    sent += Attempt::kStride;
  }
  executor.advance(milliseconds(900));
  EXPECT_THAT(assigned(quick), IsEmpty());
  executor.advance(milliseconds(300));
  ASSERT_THAT(assigned(quick), SizeIs(1));
  EXPECT_THAT(assigned(quick)[0].given, SizeIs(sent));
}

TEST_F(HedgeTest, WithMoreAnswersAtATimeEachMayBeSlower) {
  links.cut(slow.link), links.cut(quick.link);
  FakeNode& first = add_miner(4, 10);
  FakeNode& second = add_miner(1, 0.1);
  const auto session = open();
  submit(session);
  first.send_steps(assigned(first)[0], 0, 2);
  submit(session);
  first.send_steps(assigned(first)[1], 0, 2);
  executor.advance(milliseconds(5200));  // late would be 4.8 s alone, and is 9.6 s as one of two
  EXPECT_THAT(assigned(second), IsEmpty());
}

TEST_F(HedgeTest, AfterTheSecondMinerHasTakenOverAThirdMayGoOn) {
  const auto session = open();
  answer_many(session, 20);
  const Run run = late(session);
  FakeNode& third = add_miner(1, 50);
  FakeNode& leader = quick;
  leader.send_steps(assigned(leader).back(), 0, 2);
  links.cut(slow.link);
  executor.advance(milliseconds(1200));
  ASSERT_THAT(assigned(third), SizeIs(1));
  EXPECT_THAT(assigned(third)[0].given, SizeIs(2));
}

TEST_F(HedgeTest, WhoComesAfterAllStaysAhead) {
  const Run run = submit(open());
  slow.send_steps(assigned(slow)[0], 0, 2);
  executor.advance(milliseconds(1200));
  ASSERT_THAT(assigned(quick), SizeIs(1));
  slow.send_steps(assigned(slow)[0], 2, 12);
  quick.send_steps(assigned(quick)[0], 0, 9);
  EXPECT_THAT(quick.heard<protocol::Cancel>(), IsEmpty());
  quick.send_steps(assigned(quick)[0], 9, 10);  // its 8th beyond what it was given
  EXPECT_THAT(quick.heard<protocol::Cancel>(), SizeIs(1));
  slow.send_steps(assigned(slow)[0], 12, SIZE_MAX);
  slow.submit(assigned(slow)[0]);
  ASSERT_TRUE(run.heard->result);
  EXPECT_THAT(run.heard->result->choices[0].miners, ElementsAre(slow.id));
}

TEST_F(HedgeTest, TheOtherMayObjectAndTheAnswerIsChecked) {
  FakeNode& validator = add_validator();
  slow.lies_at = 1;
  const Run run = submit(open());
  slow.send_steps(assigned(slow)[0], 0, 3);
  executor.advance(milliseconds(1200));
  ASSERT_THAT(assigned(quick), SizeIs(1));
  quick.object(assigned(quick)[0], 1);
  EXPECT_THAT(slow.heard<protocol::Cancel>(), IsEmpty());
  slow.send_steps(assigned(slow)[0], 3, SIZE_MAX);
  slow.submit(assigned(slow)[0]);
  EXPECT_FALSE(run.heard->result);
  validator.judge();
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->result->choices[0].outcome, ledger::TaskOutcome::invalid);
  EXPECT_TRUE(quarantined(slow));
  EXPECT_EQ(ledger->node(quick.id)->strikes, 0u);
}

TEST_F(HedgeTest, ADifferenceIsCheckedAtEveryLevelAndTheLiarPays) {
  FakeNode& validator = add_validator();
  quick.lies_at = 2;
  const Run run = late(open());
  slow.send_steps(assigned(slow)[0], 0, 4);
  quick.send_steps(assigned(quick)[0], 0, 8);
  slow.send_steps(assigned(slow)[0], 4, SIZE_MAX);
  slow.submit(assigned(slow)[0]);
  EXPECT_FALSE(run.heard->result);
  ASSERT_THAT(validator.heard<protocol::Check>(), SizeIs(1));
  validator.judge();
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->result->choices[0].outcome, ledger::TaskOutcome::valid);
  EXPECT_EQ(ledger->node(quick.id)->strikes, 1u);
  EXPECT_EQ(ledger->node(slow.id)->strikes, 0u);
}

TEST_F(HedgeTest, ALiarThatIsHeardFirstIsFoundOutByTheOther) {
  FakeNode& validator = add_validator();
  slow.lies_at = 2;
  const Run run = late(open());
  slow.send_steps(assigned(slow)[0], 0, 4);
  quick.send_steps(assigned(quick)[0], 0, 8);
  slow.send_steps(assigned(slow)[0], 4, SIZE_MAX);
  slow.submit(assigned(slow)[0]);
  validator.judge();
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->result->choices[0].outcome, ledger::TaskOutcome::invalid);
  EXPECT_TRUE(quarantined(slow));
  EXPECT_EQ(ledger->node(quick.id)->strikes, 0u);
}

TEST_F(HedgeTest, WhenTheLeaderIsLostTheOtherTakesOver) {
  const Run run = late(open());
  slow.send_steps(assigned(slow)[0], 0, 5);
  quick.send_steps(assigned(quick)[0], 0, 2);
  links.cut(slow.link);
  quick.send_steps(assigned(quick)[0], 2, SIZE_MAX);
  quick.submit(assigned(quick)[0]);
  ASSERT_TRUE(run.heard->result);
  EXPECT_THAT(assigned(quick), SizeIs(1));  // it went on with what it had
  EXPECT_EQ(run.heard->texts[0], text_of(quick.answer(assigned(quick)[0]), *model));
  EXPECT_THAT(run.heard->result->choices[0].miners, ElementsAre(quick.id));
}

TEST_F(HedgeTest, ALiarThatLeavesIsFoundOutWhenTheOtherGetsThere) {
  FakeNode& third = add_miner(1, 50);
  slow.lies_at = 3;
  const Run run = late(open());
  slow.send_steps(assigned(slow)[0], 0, 5);
  quick.send_steps(assigned(quick)[0], 0, 2);
  links.cut(slow.link);
  quick.send_steps(assigned(quick)[0], 2, 3);
  EXPECT_THAT(assigned(third), IsEmpty());
  quick.send_steps(assigned(quick)[0], 3, 4);  // another token than the client has seen
  EXPECT_THAT(quick.heard<protocol::Cancel>(), SizeIs(1));
  ASSERT_THAT(assigned(third), SizeIs(1));
  EXPECT_THAT(assigned(third)[0].given, SizeIs(5));
  third.object(assigned(third)[0], 3);
  ASSERT_TRUE(run.heard->error);
  EXPECT_THAT(run.heard->error->message, ::testing::HasSubstr("could not be reproduced"));
  EXPECT_EQ(ledger->node(slow.id)->strikes, 1u);
  EXPECT_EQ(ledger->node(quick.id)->strikes, 0u);
}

TEST_F(HedgeTest, ALiarThatLeavesIsFoundOutByTheOtherThatHasBeenThere) {
  FakeNode& third = add_miner(1, 50);
  slow.lies_at = 3;
  const Run run = late(open());
  slow.send_steps(assigned(slow)[0], 0, 5);
  quick.send_steps(assigned(quick)[0], 0, 4);
  links.cut(slow.link);
  EXPECT_THAT(quick.heard<protocol::Cancel>(), SizeIs(1));
  EXPECT_THAT(assigned(third), SizeIs(1));
}

TEST_F(HedgeTest, WhatALiarLeftAndNobodyHasSeenIsTakenBackWhenTheOtherGetsThere) {
  slow.lies_at = 3;
  const Run run = late(open());
  run.heard->streamed = false;
  slow.send_steps(assigned(slow)[0], 0, 5);
  quick.send_steps(assigned(quick)[0], 0, 2);
  links.cut(slow.link);
  quick.send_steps(assigned(quick)[0], 2, SIZE_MAX);
  quick.submit(assigned(quick)[0]);
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->texts[0], text_of(quick.answer(assigned(quick)[0]), *model));
  EXPECT_EQ(ledger->node(slow.id)->strikes, 1u);
}

TEST_F(HedgeTest, TheSlowerOneDoesNotJudgeTheAnswer) {
  FakeNode& twin = add_twin(quick);
  FakeNode& validator = add_validator();
  quick.lies_at = 2;
  late(open());
  slow.send_steps(assigned(slow)[0], 0, 4);
  quick.send_steps(assigned(quick)[0], 0, 8);
  slow.send_steps(assigned(slow)[0], 4, SIZE_MAX);
  slow.submit(assigned(slow)[0]);
  EXPECT_THAT(twin.heard<protocol::Check>(), IsEmpty());
  EXPECT_THAT(validator.heard<protocol::Check>(), SizeIs(1));
}

TEST_F(HedgeTest, WhoHasNotBegunThoughItIsLateHasShownHowSlowItIs) {
  const double before = record(slow).first_token(3);
  late(open());
  quick.run(assigned(quick)[0]);
  EXPECT_GT(record(slow).first_token(3), before + 0.3);
  EXPECT_LT(record(slow).reliability(executor.now()), 1);
}

TEST_F(HedgeTest, WhoIsNotLateYetHasShownNothing) {
  const double before = record(quick).first_token(3);
  late(open());
  slow.run(assigned(slow)[0]);
  EXPECT_EQ(record(quick).first_token(3), before);
  EXPECT_EQ(record(quick).reliability(executor.now()), 1);
}

TEST_F(HedgeTest, LateIsThreeTimesWhatWasExpected) {
  links.cut(slow.link), links.cut(quick.link);
  FakeNode& first = add_miner(1, 0.6);  // half a second for a prompt of three tokens
  FakeNode& second = add_miner(1, 0.3);
  submit(open());
  ASSERT_THAT(assigned(first), SizeIs(1));
  executor.advance(milliseconds(1400));
  EXPECT_THAT(assigned(second), IsEmpty());
  executor.advance(milliseconds(400));
  EXPECT_THAT(assigned(second), SizeIs(1));
}

TEST_F(HedgeTest, ALostSecondMinerIsNotReplaced) {
  const auto session = open();
  answer_many(session, 20);
  const Run run = late(session);
  links.cut(quick.link);
  FakeNode& third = add_miner(1, 50);
  executor.advance(milliseconds(3000));
  EXPECT_THAT(assigned(third), IsEmpty());
  slow.run(assigned(slow).back());
  ASSERT_TRUE(run.heard->result);
  EXPECT_THAT(run.heard->result->choices[0].miners, ElementsAre(slow.id));
}

TEST_F(HedgeTest, TheBudgetIsATenthOfAllAttempts) {
  const auto session = open();
  late(session);
  quick.run(assigned(quick)[0]);
  let_go(slow);
  const Run second = submit(session);
  executor.advance(milliseconds(5000));
  EXPECT_EQ(assigned(slow).size() + assigned(quick).size(), 3u);  // late, but nothing is saved for it
  core->cancel(*second.task);
  let_go(quick);
  const auto both_busy = [&] { return busy(slow) + busy(quick); };
  EXPECT_EQ(both_busy(), 0u);
  answer_many(session, 8);
  submit(session);
  executor.advance(milliseconds(5000));
  EXPECT_EQ(both_busy(), 2u);
}

TEST_F(HedgeTest, NoMoreThanTenAreSaved) {
  const auto session = open();
  answer_many(session, 300);
  const std::size_t before = assigned(slow).size() + assigned(quick).size();
  constexpr std::size_t kLateOnes = 16;
  for (std::size_t i = 0; i < kLateOnes; ++i) {
    const Run run = submit(session);
    for (FakeNode* node : {&slow, &quick}) node->say(protocol::Heartbeat{});
    executor.advance(std::chrono::seconds(4));
    core->cancel(*run.task);
    for (FakeNode* node : {&slow, &quick})
      if (busy(*node) > 0) let_go(*node);
  }
  const std::size_t second = assigned(slow).size() + assigned(quick).size() - before - kLateOnes;
  EXPECT_GE(second, 10u);
  EXPECT_LT(second, 14u);
}

TEST_F(HedgeTest, NothingIsTakenFromThoseWhoWait) {
  const auto session = open();
  FakeNode& third = add_miner(1, 50);
  const Run first = submit(session);
  submit(session), submit(session), submit(session);  // one of them waits
  EXPECT_EQ(core->waiting(), 1u);
  executor.advance(milliseconds(3000));
  EXPECT_EQ(assigned(slow).size() + assigned(quick).size() + assigned(third).size(), 3u);
}

TEST_F(HedgeTest, NothingIsTakenFromBatchWorkEither) {
  FakeNode& third = add_miner(1, 50);
  const auto session = open();
  submit(session);
  ledger::SessionSpec narrow = session.spec;
  narrow.service.miners = {slow.id};  // for the others it waits in vain
  TaskSpec batch = spec_of(*core->sessions().open(narrow, executor.wall_now()), {request()});
  batch.queue_class = QueueClass::batch;
  submit(batch);
  EXPECT_EQ(core->waiting(), 1u);
  executor.advance(milliseconds(3000));
  EXPECT_THAT(assigned(quick), IsEmpty());
  EXPECT_THAT(assigned(third), IsEmpty());
}

}  // namespace
}  // namespace cortensor::router
