// Claims: a validator signs what its replay found about exactly the commitment it was shown, never judges its
// own work, and says INCONCLUSIVE where it could not look. The engine and the link are fakes.
#include "validator/core/validator_core.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../support/fake_engine.h"
#include "../support/manual_executor.h"
#include "arith/version.h"
#include "engine/transcript.h"
#include "protocol/canonical.h"

namespace cortensor::validator {
namespace {

using protocol::Outcome;

class RecordingLink final : public protocol::NodeLink {
 public:
  std::vector<protocol::CheckResult> results;
  void send(protocol::NodeMessage message) override {
    if (auto* result = std::get_if<protocol::CheckResult>(&message)) results.push_back(std::move(*result));
  }
  void stop() override {}
};

class ValidatorCoreTest : public testing::Test {
 protected:
  ValidatorCoreTest() {
    core.bind(attachment);
    attachment.bind(link);
    attachment.on_connected();
    attachment.on_message(protocol::Welcome{NodeId("router"), 60'000});
  }

  protocol::Check check(const crypto::PrivateKey& by, const std::string& attempt = "a") {
    protocol::Check message;
    message.model = engine.info().weights_digest;
    message.request.prompt = {1, 2};
    message.request.max_tokens = 2;
    message.steps = {{5, crypto::sha256(bytes_of("a"))}, {6, crypto::sha256(bytes_of("b"))}};
    protocol::Commitment& commitment = message.commitment;
    commitment.arithmetic_version = arith::kArithmeticVersion;
    commitment.model = message.model;
    commitment.request = protocol::request_digest(message.model, message.request);
    commitment.attempt = AttemptId(attempt);
    commitment.count = 2;
    commitment.root = engine::transcript_root(message.steps);
    commitment.miner = by.node_id();
    commitment.signature = by.sign(protocol::signed_bytes(commitment));
    return message;
  }

  // The one verdict sent, after its signature was checked.
  protocol::Verdict verdict_on(const protocol::Check& asked) {
    executor.run();
    EXPECT_EQ(link.results.size(), 1u);
    const protocol::Verdict verdict = link.results.at(0).verdict;
    EXPECT_EQ(verdict.commitment, protocol::commitment_digest(asked.commitment));
    EXPECT_TRUE(crypto::verify(key.node_id(), protocol::signed_bytes(verdict), verdict.signature));
    return verdict;
  }

  FakeEngine engine;
  ManualExecutor executor;
  crypto::PrivateKey key = crypto::PrivateKey::generate();
  crypto::PrivateKey miner = crypto::PrivateKey::generate();
  RecordingLink link;
  ValidatorCore core{executor, key, {&engine}, 4};
  protocol::Attachment attachment{executor, {}, core, {}};
};

TEST_F(ValidatorCoreTest, SignsValid) {
  const auto asked = check(miner);
  attachment.on_message(asked);
  EXPECT_EQ(core.busy_slots(), 1u);
  engine.replays.begin()->second(engine::ReplayResult{});
  EXPECT_EQ(verdict_on(asked).outcome, Outcome::valid);
  EXPECT_EQ(core.busy_slots(), 0u);
}

TEST_F(ValidatorCoreTest, SignsInvalidWithTheFirstWrongPosition) {
  const auto asked = check(miner);
  attachment.on_message(asked);
  engine.replays.begin()->second(engine::ReplayResult{engine::ReplayFinding::token_differs, 1, "7", "6"});
  const auto verdict = verdict_on(asked);
  EXPECT_EQ(verdict.outcome, Outcome::invalid);
  EXPECT_EQ(verdict.first_wrong, 1u);
  EXPECT_THAT(verdict.reason, testing::HasSubstr("expected 7, found 6"));
}

TEST_F(ValidatorCoreTest, IsInconclusiveAboutWhatItCannotCompare) {
  const auto reason_for = [&](const protocol::Check& asked) {
    link.results.clear();
    attachment.on_message(asked);
    const auto verdict = verdict_on(asked);
    EXPECT_EQ(verdict.outcome, Outcome::inconclusive);
    return verdict.reason;
  };
  auto other_steps = check(miner);
  other_steps.steps[0].digest[0] ^= 1;
  EXPECT_THAT(reason_for(other_steps), testing::HasSubstr("not those committed to"));
  auto other_request = check(miner);
  other_request.request.prompt.push_back(3);
  EXPECT_THAT(reason_for(other_request), testing::HasSubstr("another request"));
  auto forged = check(miner);
  forged.commitment.count = 3;
  EXPECT_THAT(reason_for(forged), testing::HasSubstr("not signed by its miner"));
  auto other_model = check(miner);
  other_model.model[0] ^= 1;
  EXPECT_THAT(reason_for(other_model), testing::HasSubstr("does not have the model"));
  EXPECT_THAT(reason_for(check(key)), testing::HasSubstr("my own work"));
  engine.refusal = fail(ErrorKind::overloaded, "no free sequence");
  EXPECT_THAT(reason_for(check(miner)), testing::HasSubstr("no free sequence"));
}

TEST_F(ValidatorCoreTest, WaitsForRoomInTheEngine) {
  const auto first = check(miner), second = check(miner, "b"), third = check(miner, "c");
  attachment.on_message(first);
  engine.refusal = fail(ErrorKind::overloaded, "no room");
  attachment.on_message(second);
  attachment.on_message(third);
  executor.run();
  EXPECT_TRUE(link.results.empty());
  EXPECT_EQ(core.busy_slots(), 3u);
  attachment.on_message(protocol::Cancel{second.commitment.attempt});
  engine.refusal.reset();
  const auto running = engine.replays.begin()->second;
  engine.replays.clear();
  running(engine::ReplayResult{});
  executor.run();
  EXPECT_EQ(link.results.size(), 1u);
  ASSERT_EQ(engine.replays.size(), 1u);
  engine.replays.begin()->second(engine::ReplayResult{});
  executor.run();
  ASSERT_EQ(link.results.size(), 2u);
  EXPECT_EQ(link.results[1].attempt, third.commitment.attempt);
  EXPECT_EQ(core.busy_slots(), 0u);
}

TEST_F(ValidatorCoreTest, WhatIsAskedTwiceIsAnsweredOnce) {
  attachment.on_message(check(miner));
  engine.refusal = fail(ErrorKind::overloaded, "no room");
  for (int i = 0; i < 3; ++i) attachment.on_message(check(miner, "b"));
  engine.refusal.reset();
  for (int i = 0; i < 3 && !engine.replays.empty(); ++i) {
    const auto running = engine.replays.begin()->second;
    engine.replays.clear();
    running(engine::ReplayResult{});
    executor.run();
  }
  EXPECT_EQ(link.results.size(), 2u);
  EXPECT_EQ(core.busy_slots(), 0u);
}

TEST_F(ValidatorCoreTest, ACancelledReplayHoldsItsRoomUntilTheEngineLetsGo) {
  const auto first = check(miner), second = check(miner, "b");
  attachment.on_message(first);
  attachment.on_message(protocol::Cancel{first.commitment.attempt});
  engine.refusal = fail(ErrorKind::overloaded, "no room");
  attachment.on_message(second);
  executor.run();
  EXPECT_TRUE(link.results.empty());
  engine.refusal.reset();
  engine.replays.begin()->second(fail(ErrorKind::cancelled, "cancelled"));
  executor.run();
  EXPECT_TRUE(link.results.empty());
  EXPECT_EQ(engine.replays.size(), 2u);
}

TEST_F(ValidatorCoreTest, AnswersTheRouterThatAsked) {
  RecordingLink other_link;
  protocol::Attachment other{executor, {}, core, {}};
  core.bind(other);
  other.bind(other_link);
  other.on_connected();
  other.on_message(protocol::Welcome{NodeId("other"), 60'000});
  attachment.on_message(check(miner, "a"));
  other.on_message(check(miner, "b"));
  EXPECT_EQ(core.load(attachment).elsewhere_slots, 1u);
  other.on_message(check(miner, "a"));                 // cannot be one of its own
  other.on_message(protocol::Cancel{AttemptId("a")});  // nor is this
  ASSERT_EQ(other_link.results.size(), 1u);
  EXPECT_EQ(other_link.results[0].verdict.outcome, Outcome::inconclusive);
  EXPECT_TRUE(engine.cancelled.empty());
  for (auto& [handle, on_result] : engine.replays) on_result(engine::ReplayResult{});
  executor.run();
  ASSERT_EQ(link.results.size(), 1u);
  EXPECT_EQ(link.results[0].attempt, AttemptId("a"));
  ASSERT_EQ(other_link.results.size(), 2u);
  EXPECT_EQ(other_link.results[1].attempt, AttemptId("b"));
}

TEST_F(ValidatorCoreTest, ALostConnectionEndsItsChecks) {
  attachment.on_message(check(miner));
  attachment.on_disconnected(fail(ErrorKind::unavailable, "lost"));
  EXPECT_EQ(engine.cancelled.size(), 1u);
  engine.replays.begin()->second(engine::ReplayResult{});
  executor.run();
  EXPECT_TRUE(link.results.empty());
}

}  // namespace
}  // namespace cortensor::validator
