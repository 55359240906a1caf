// Claims: a miner signs an answer in segments as it makes them; who does not come to the end is paid for the
// tokens that it was the first to sign, and whoever signed a wrong one answers for it; the client pays the
// same.
#include <gmock/gmock.h>

#include <list>

#include "world.h"

namespace cortensor::router {
namespace {

using ::testing::ElementsAre;

class SegmentTest : public World {
 protected:
  SegmentTest()
      : World([] {
          CoreOptions options;
          options.segment_tokens = 4;
          options.make_name = [made = 0](std::string_view prefix, int) mutable {
            return std::string(prefix) + std::to_string(++made);
          };
          return options;
        }()) {}

  const protocol::Assign& assigned(const FakeNode& node) {
    return assigns_.emplace_back(node.heard<protocol::Assign>().back());
  }
  std::size_t signatures(const TaskResult& result) { return receipt(result).commitments.size(); }

  FakeNode& first = add_miner(4, 900);
  FakeNode& second = add_miner(4, 300);
  FakeNode& third = add_miner(4, 100);
  std::list<protocol::Assign> assigns_;
};

TEST_F(SegmentTest, WhoVanishesIsPaidForWhatItHasSigned) {
  const auto session = open();
  const Run run = submit(session);
  EXPECT_EQ(assigned(first).segment_tokens, 4u);
  first.send_segment(assigned(first), 0, 4);
  first.send_steps(assigned(first), 4, 6);
  links.cut(first.link);
  EXPECT_EQ(assigned(second).given.size(), 6u);
  second.run(assigned(second));
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->result->cost.micro, 110);
  EXPECT_EQ(earned(first.id).micro, 32);  // 105 * 4 / 13, rounded down
  EXPECT_EQ(earned(second.id).micro, 73);
  EXPECT_EQ(earned(core->id()).micro, 5);
  EXPECT_THAT(run.heard->result->choices[0].miners, ElementsAre(second.id, first.id));
  const auto& proof = receipt(*run.heard->result);
  ASSERT_EQ(proof.commitments.size(), 2u);
  EXPECT_EQ(proof.commitments[1].count, 4u);
  EXPECT_FALSE(proof.commitments[1].finish);
}

TEST_F(SegmentTest, EachIsPaidForTheTokensThatItWasTheFirstToSign) {
  const Run run = submit(open());
  first.send_segment(assigned(first), 0, 4);
  first.send_steps(assigned(first), 4, 6);
  links.cut(first.link);
  second.send_steps(assigned(second), 0, 6);
  second.send_segment(assigned(second), 6, 8);
  second.send_segment(assigned(second), 8, 12);
  links.cut(second.link);
  third.run(assigned(third));
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(earned(first.id).micro, 32);
  EXPECT_EQ(earned(second.id).micro, 64);  // 105 * 8 / 13
  EXPECT_EQ(earned(third.id).micro, 9);
  EXPECT_EQ(signatures(*run.heard->result), 3u);
}

TEST_F(SegmentTest, WhoComesBackHasOnePaymentForAll) {
  links.cut(second.link), links.cut(third.link);
  const Run run = submit(open());
  first.send_segment(assigned(first), 0, 4);
  links.cut(first.link);
  first.attach("");
  first.run(assigned(first));
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(receipt(*run.heard->result).bill.payments.size(), 2u);
  EXPECT_EQ(earned(first.id).micro, 105);
}

TEST_F(SegmentTest, WhoComesToTheEndNeedsNoSegments) {
  const Run run = submit(open());
  for (const std::size_t end : {4u, 8u, 12u}) first.send_segment(assigned(first), end - 4, end);
  first.send_steps(assigned(first), 12, SIZE_MAX);
  first.submit(assigned(first));
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(signatures(*run.heard->result), 1u);
  EXPECT_EQ(earned(first.id).micro, 105);
}

TEST_F(SegmentTest, WhereSeveralAnswerEachIsPaidForItsOwn) {
  const Run run = submit(open(quorum(2, 2)));
  EXPECT_EQ(assigned(first).segment_tokens, 0u);
  first.send_segment(assigned(first), 0, 4);  // nobody has asked for it
  first.send_steps(assigned(first), 4, 6);
  links.cut(first.link);
  second.run(assigned(second));
  third.run(assigned(third));
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->result->cost.micro, 220);
  EXPECT_EQ(earned(second.id).micro, 105);
  EXPECT_EQ(earned(third.id).micro, 105);
}

TEST_F(SegmentTest, WhatDoesNotFitTheStepsEndsTheAttempt) {
  using Spoil = std::function<void(protocol::Commitment&)>;
  const std::vector<Spoil> spoilers = {
      [](protocol::Commitment& c) { c.root[0] ^= 1; },
      [](protocol::Commitment& c) { c.count = 8; },
      [](protocol::Commitment& c) { c.finish = FinishReason::length; },
      [](protocol::Commitment& c) { c.request[0] ^= 1; },
      [](protocol::Commitment& c) { c.miner = NodeId(std::string(64, 'a')); },
  };
  for (std::size_t i = 0; i <= spoilers.size(); ++i) {
    FakeNode& bad = add_miner(4, 9000);
    const Run run = submit(open());
    bad.send_steps(assigned(bad), 0, 4);
    auto commitment = bad.beginning(assigned(bad), 4);
    if (i < spoilers.size()) {
      spoilers[i](commitment);
      commitment.signature = bad.key.sign(protocol::signed_bytes(commitment));
    } else {
      commitment.signature[0] ^= 1;
    }
    bad.say(protocol::Segment{commitment});
    EXPECT_EQ(ledger->node(bad.id)->strikes, 1u) << i;
    EXPECT_EQ(bad.heard<protocol::Cancel>().size(), 1u) << i;
    links.cut(bad.link);
    first.run(assigned(first));
    ASSERT_TRUE(run.heard->result) << i;
    EXPECT_EQ(signatures(*run.heard->result), 1u) << i;
  }
}

TEST_F(SegmentTest, OnlyNewStepsAtABoundaryAreSignedAndOnlyOnce) {
  const auto strikes_after = [&](auto&& talk) {
    FakeNode& bad = add_miner(4, 9000);
    const Run run = submit(open());
    talk(bad);
    const std::size_t strikes = ledger->node(bad.id)->strikes;
    core->cancel(*run.task);
    links.cut(bad.link);
    return strikes;
  };
  EXPECT_EQ(strikes_after([&](FakeNode& bad) { bad.send_segment(assigned(bad), 0, 4); }), 0u);
  EXPECT_EQ(strikes_after([&](FakeNode& bad) { bad.send_segment(assigned(bad), 0, 3); }), 1u);
  EXPECT_EQ(strikes_after([&](FakeNode& bad) {
              bad.send_segment(assigned(bad), 0, 4);
              bad.say(protocol::Segment{bad.beginning(assigned(bad), 4)});
            }),
            1u);
}

TEST_F(SegmentTest, WhatAMinerWasGivenItDoesNotSign) {
  const Run run = submit(open());
  first.send_steps(assigned(first), 0, 6);
  links.cut(first.link);
  second.send_segment(assigned(second), 0, 4);
  EXPECT_EQ(ledger->node(second.id)->strikes, 1u);
}

TEST_F(SegmentTest, AnInvalidAnswerPaysNobodyAndOnlyWhoSignedTheWrongTokenAnswersForIt) {
  FakeNode& validator = add_validator();
  const auto session = open(full());
  const Run run = submit(session);
  first.send_segment(assigned(first), 0, 4);
  links.cut(first.link);
  second.lies_at = 6;
  second.send_segment(assigned(second), 0, 8);
  links.cut(second.link);
  third.lies_at = 6;  // it goes on behind what it is given
  third.run(assigned(third));
  validator.judge();
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->result->choices[0].outcome, ledger::TaskOutcome::invalid);
  EXPECT_EQ(hold(session).micro, 1'000'000);
  EXPECT_EQ(receipt(*run.heard->result).commitments.size(), 3u);
  EXPECT_FALSE(quarantined(first));
  EXPECT_EQ(ledger->node(first.id)->strikes, 0u);
  EXPECT_TRUE(quarantined(second));
  EXPECT_TRUE(quarantined(third));
}

TEST_F(SegmentTest, WhoSignedAnotherBeginningThanAValidAnswerHasIsOutAndUnpaid) {
  FakeNode& validator = add_validator();
  const Run run = submit(open());
  first.wrong_digest_at = 2;
  const auto segment = first.beginning(assigned(first), 4);
  first.send_segment(assigned(first), 0, 4);
  links.cut(first.link);
  second.run(assigned(second));
  EXPECT_FALSE(run.heard->result);  // it is checked at every level
  validator.judge();
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->result->choices[0].outcome, ledger::TaskOutcome::valid);
  EXPECT_TRUE(quarantined(first));
  EXPECT_EQ(ledger->node(first.id)->evidence, protocol::commitment_digest(segment));
  EXPECT_EQ(earned(first.id).micro, 0);
  EXPECT_EQ(earned(second.id).micro, 105);
  EXPECT_EQ(signatures(*run.heard->result), 1u);
}

TEST_F(SegmentTest, ASignedLieThatNobodyHasSeenIsTakenBackAndProven) {
  FakeNode& validator = add_validator();
  const Run run = submit(open());
  run.heard->streamed = false;
  first.lies_at = 3;
  first.send_segment(assigned(first), 0, 4);
  links.cut(first.link);
  second.object(assigned(second), 3);
  second.run(assigned(second));
  validator.judge();
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(receipt(*run.heard->result).steps, true_answer(request(), *model, 12));
  EXPECT_TRUE(quarantined(first));
  EXPECT_EQ(earned(first.id).micro, 0);
}

// Not streamed: what the liar signed is taken back, and is in nobody's way.
TEST_F(SegmentTest, ALiarsSegmentDoesNotStandBeforeThoseOfWhoComesAfterIt) {
  const Run run = submit(open(full()));
  run.heard->streamed = false;
  first.lies_at = 2;
  first.send_segment(assigned(first), 0, 4);
  first.send_segment(assigned(first), 4, 8);
  links.cut(first.link);
  second.object(assigned(second), 2);
  second.send_segment(assigned(second), 0, 4);
  second.send_segment(assigned(second), 4, 8);
  links.cut(second.link);
  FakeNode& validator = add_validator();
  third.run(assigned(third));
  validator.judge();
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(earned(second.id).micro, 64);  // 105 * 8 / 13
  EXPECT_EQ(earned(third.id).micro, 41);
  EXPECT_TRUE(quarantined(first));
  EXPECT_FALSE(quarantined(second));
}

// Its signature stands; one other miner's word is not enough to strike it.
TEST_F(SegmentTest, WhoSignedIsNotStruckOnOneWordAgainstIt) {
  links.cut(third.link);
  const Run run = submit(open());
  first.send_segment(assigned(first), 0, 4);
  links.cut(first.link);
  second.object(assigned(second), 2);
  ASSERT_TRUE(run.heard->error);
  EXPECT_EQ(ledger->node(first.id)->strikes, 0u);
}

}  // namespace
}  // namespace cortensor::router
