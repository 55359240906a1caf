// Claims: an outbox keeps order, has one frame in flight at most, and refuses what exceeds a limit without
// changing; sequences must be 1, 2, 3, …; backoff doubles between its limits, with jitter in the upper half.
#include "wire/outbox.h"

#include <gtest/gtest.h>

#include "wire/backoff.h"
#include "wire/codec.h"

namespace cortensor::wire {
namespace {

using std::chrono::milliseconds;

TEST(Outbox, KeepsOrderAndOneFrameInFlight) {
  Outbox outbox({.frames = 4, .bytes = 100});
  EXPECT_EQ(outbox.begin_write(), nullptr);
  ASSERT_TRUE(outbox.push("one"));
  ASSERT_TRUE(outbox.push("two"));
  const std::string* first = outbox.begin_write();
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(*first, "one");
  EXPECT_TRUE(outbox.writing());
  EXPECT_EQ(outbox.begin_write(), nullptr);
  ASSERT_TRUE(outbox.push("three"));
  EXPECT_EQ(*first, "one");  // stays valid while others come
  outbox.end_write();
  EXPECT_EQ(*outbox.begin_write(), "two");
  outbox.end_write();
  EXPECT_EQ(*outbox.begin_write(), "three");
  outbox.end_write();
  EXPECT_TRUE(outbox.empty());
  EXPECT_EQ(outbox.bytes(), 0u);
  outbox.end_write();  // nothing in flight: nothing happens
  EXPECT_TRUE(outbox.empty());
}

TEST(Outbox, RefusesBeyondEitherLimit) {
  Outbox outbox({.frames = 3, .bytes = 10});
  ASSERT_TRUE(outbox.push("12345"));
  EXPECT_FALSE(outbox.push("123456"));
  ASSERT_TRUE(outbox.push("1234"));
  EXPECT_EQ(outbox.bytes(), 9u);
  ASSERT_TRUE(outbox.push(""));
  EXPECT_FALSE(outbox.push(""));
  EXPECT_EQ(outbox.frames(), 3u);
  ASSERT_NE(outbox.begin_write(), nullptr);
  EXPECT_FALSE(outbox.push(""));  // the frame in flight still counts
  outbox.end_write();
  EXPECT_TRUE(outbox.push("123456"));
  EXPECT_EQ(outbox.bytes(), 10u);
}

TEST(Sequence, RefusesRepeatsAndGaps) {
  EXPECT_EQ(SequenceCheck().next(0).error().message, "replayed frame: expected sequence 1, found 0");
  SequenceCheck check;
  for (std::uint64_t i = 1; i < 5; ++i) ASSERT_TRUE(check.next(i));
  EXPECT_EQ(check.next(4).error().message, "replayed frame: expected sequence 5, found 4");
  EXPECT_EQ(check.next(6).error().message, "missing frame: expected sequence 5, found 6");
  EXPECT_TRUE(check.next(5));
}

TEST(Backoff, DoublesBetweenItsLimitsWithJitter) {
  Backoff backoff({.first = milliseconds(200), .most = milliseconds(30'000)});
  for (const int step : {200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000}) {
    const auto range = static_cast<std::uint64_t>(step - step / 2);
    Backoff other = backoff;
    EXPECT_EQ(other.next(0), milliseconds(step / 2));
    other = backoff;
    EXPECT_EQ(other.next(range), milliseconds(step));
    EXPECT_EQ(backoff.next(range + 1), milliseconds(step / 2));
  }
  backoff.reset();
  EXPECT_LE(backoff.next(~0ull), milliseconds(200));
}

}  // namespace
}  // namespace cortensor::wire
