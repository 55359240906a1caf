// Claims: a miner sends steps in order as they are made, signs exactly what it sent, and answers every
// assignment with a submission or a failure; attempts end with their connection. The engine and the link are
// fakes.
#include "miner/core/miner_core.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../support/fake_engine.h"
#include "../support/manual_executor.h"
#include "engine/transcript.h"
#include "protocol/canonical.h"

namespace cortensor::miner {
namespace {

class RecordingLink final : public protocol::NodeLink {
 public:
  std::vector<protocol::NodeMessage> sent;
  bool stopped = false;
  void send(protocol::NodeMessage message) override { sent.push_back(std::move(message)); }
  void stop() override { stopped = true; }

  template <class T>
  std::vector<T> all() const {
    std::vector<T> out;
    for (const auto& message : sent)
      if (const T* found = std::get_if<T>(&message)) out.push_back(*found);
    return out;
  }
};

Step step(TokenId token) {
  return {token, crypto::sha256(bytes_of(std::to_string(token)))};
}

class MinerCoreTest : public testing::Test {
 protected:
  MinerCoreTest() {
    core.bind(attachment);
    attachment.bind(link);
    attachment.on_connected();
    attachment.on_message(protocol::Welcome{NodeId("router"), 1000});
  }

  protocol::Assign assign(const std::string& id) {
    protocol::Assign message;
    message.attempt = AttemptId(id);
    message.model = engine.info().weights_digest;
    message.request.prompt = {1, 2};
    message.request.max_tokens = 8;
    return message;
  }

  FakeEngine engine;
  ManualExecutor executor;
  crypto::PrivateKey key = crypto::PrivateKey::generate();
  RecordingLink link;
  MinerCore core{executor, key, {&engine}, 4};
  protocol::Attachment attachment{executor, {}, core, {}};
};

TEST_F(MinerCoreTest, SendsStepsInOrderAndSignsWhatItSent) {
  attachment.on_message(assign("a"));
  ASSERT_EQ(engine.running.size(), 1u);
  auto& run = engine.running.begin()->second;
  EXPECT_EQ(core.busy_slots(), 1u);
  run.callbacks.on_step(0, step(5), nullptr);
  run.callbacks.on_step(1, step(6), nullptr);  // gathered with the first: one message
  executor.run();
  run.callbacks.on_step(2, step(7), nullptr);
  const Digest root = crypto::sha256(bytes_of("root"));
  run.callbacks.on_finish(FinishReason::length, root);
  executor.run();

  const auto steps = link.all<protocol::Steps>();
  ASSERT_EQ(steps.size(), 2u);
  EXPECT_EQ(steps[0].first, 0u);
  EXPECT_EQ(steps[0].steps, (std::vector<Step>{step(5), step(6)}));
  EXPECT_EQ(steps[1].first, 2u);
  const auto submissions = link.all<protocol::Submission>();
  ASSERT_EQ(submissions.size(), 1u);
  const protocol::Commitment& commitment = submissions[0].commitment;
  EXPECT_EQ(commitment.count, 3u);
  EXPECT_EQ(commitment.root, root);
  EXPECT_EQ(commitment.finish, FinishReason::length);
  EXPECT_EQ(commitment.request, protocol::request_digest(engine.info().weights_digest, assign("a").request));
  EXPECT_TRUE(crypto::verify(key.node_id(), protocol::signed_bytes(commitment), commitment.signature));
  EXPECT_EQ(core.busy_slots(), 0u);
}

TEST_F(MinerCoreTest, SendsAnEmbeddingBesideItsStep) {
  auto message = assign("a");
  message.request = embedding_request({1, 2}, 3);
  attachment.on_message(message);
  auto& run = engine.running.begin()->second;
  EXPECT_EQ(run.submission.request, message.request);
  const std::vector<float> elements{0.5f, -0.5f, 0.25f};
  run.callbacks.on_embedding(elements);
  run.callbacks.on_step(0, step(kEmbeddingToken), nullptr);
  run.callbacks.on_finish(FinishReason::length, Digest{});
  executor.run();
  const auto steps = link.all<protocol::Steps>();
  ASSERT_EQ(steps.size(), 1u);
  EXPECT_EQ(steps[0].embedding, elements);
  EXPECT_EQ(steps[0].steps, std::vector<Step>{step(kEmbeddingToken)});
  EXPECT_EQ(link.all<protocol::Submission>().at(0).commitment.count, 1u);
}

TEST_F(MinerCoreTest, SignsEachSegmentOfItsOwnStepsWhereItIsAskedTo) {
  auto message = assign("a");
  message.given = {5, 6, 7, 8};
  message.segment_tokens = 4;
  attachment.on_message(message);
  auto& run = engine.running.begin()->second;
  std::vector<Step> all;
  for (TokenId token = 0; token < 10; ++token) all.push_back(step(token));
  for (std::size_t i = 0; i < all.size(); ++i) run.callbacks.on_step(i, all[i], nullptr);
  executor.run();
  // Of what gathered at once: the given ones, those up to the boundary, what is signed there, the rest.
  const auto steps = link.all<protocol::Steps>();
  ASSERT_EQ(steps.size(), 3u);
  EXPECT_EQ(steps[2].first, 8u);
  const auto segments = link.all<protocol::Segment>();
  ASSERT_EQ(segments.size(), 1u);
  const auto is_segment = [](const auto& one) { return std::holds_alternative<protocol::Segment>(one); };
  const auto at = std::find_if(link.sent.begin(), link.sent.end(), is_segment);
  EXPECT_EQ(std::get<protocol::Steps>(*(at - 1)), steps[1]);
  EXPECT_EQ(std::get<protocol::Steps>(*(at + 1)), steps[2]);
  const protocol::Commitment& commitment = segments[0].commitment;
  EXPECT_EQ(commitment.count, 8u);
  EXPECT_EQ(commitment.root, engine::transcript_root(std::span(all).first(8)));
  EXPECT_FALSE(commitment.finish);
  EXPECT_EQ(commitment.attempt, message.attempt);
  EXPECT_TRUE(crypto::verify(key.node_id(), protocol::signed_bytes(commitment), commitment.signature));
}

TEST_F(MinerCoreTest, HandsOnTheSaltAndTellsWhatWasCached) {
  protocol::Assign message = assign("a");
  message.cache_salt = crypto::sha256(bytes_of("salt"));
  attachment.on_message(message);
  attachment.on_message(assign("b"));
  ASSERT_EQ(engine.running.size(), 2u);
  EXPECT_EQ(engine.running.at(1).submission.cache_salt, message.cache_salt);
  EXPECT_FALSE(engine.running.at(2).submission.cache_salt);
  engine.running.at(1).callbacks.on_start(64);
  engine.running.at(1).callbacks.on_finish(FinishReason::length, Digest{});
  engine.running.at(2).callbacks.on_finish(FinishReason::length, Digest{});
  executor.run();
  const auto submissions = link.all<protocol::Submission>();
  ASSERT_EQ(submissions.size(), 2u);
  EXPECT_EQ(submissions[0].cached_tokens, 64u);
  EXPECT_EQ(submissions[1].cached_tokens, 0u);
}

TEST_F(MinerCoreTest, SplitsMoreStepsThanOneMessageHolds) {
  attachment.on_message(assign("a"));
  const std::size_t count = protocol::kMaxStepsPerMessage + 5;
  const Logprobs logprobs{-0.5f, {{7, -0.25f}}};
  for (std::size_t i = 0; i < count; ++i)
    engine.running.begin()->second.callbacks.on_step(i, step(static_cast<TokenId>(i)), &logprobs);
  executor.run();
  const auto steps = link.all<protocol::Steps>();
  ASSERT_EQ(steps.size(), 2u);
  EXPECT_EQ(steps[1].first, protocol::kMaxStepsPerMessage);
  EXPECT_EQ(steps[1].steps.size(), 5u);
  EXPECT_EQ(steps[1].logprobs.size(), 5u);
  EXPECT_EQ(steps[1].logprobs[4], logprobs);
}

TEST_F(MinerCoreTest, RefusesWhatItCannotRunAndSaysWhy) {
  auto other = assign("a");
  other.model[0] ^= 1;
  attachment.on_message(other);
  engine.refusal = fail(ErrorKind::overloaded, "no free sequence");
  attachment.on_message(assign("b"));
  const auto failures = link.all<protocol::AttemptFailed>();
  ASSERT_EQ(failures.size(), 2u);
  EXPECT_EQ(failures[0].kind, ErrorKind::not_found);
  EXPECT_EQ(failures[1].kind, ErrorKind::overloaded);
  EXPECT_EQ(failures[1].message, "no free sequence");
  EXPECT_EQ(core.busy_slots(), 0u);
}

TEST_F(MinerCoreTest, OfACancelledAttemptOnlyItsEndIsHeard) {
  attachment.on_message(assign("a"));
  attachment.on_message(protocol::Cancel{AttemptId("a")});
  EXPECT_EQ(engine.cancelled.size(), 1u);
  engine.running.begin()->second.callbacks.on_step(0, step(5), nullptr);
  executor.run();
  EXPECT_EQ(core.busy_slots(), 1u);  // until the engine has let go of it
  EXPECT_TRUE(link.all<protocol::AttemptFailed>().empty());
  engine.running.begin()->second.callbacks.on_error(fail(ErrorKind::cancelled, "cancelled"));
  executor.run();
  EXPECT_TRUE(link.all<protocol::Steps>().empty());
  EXPECT_EQ(core.busy_slots(), 0u);
  const auto ends = link.all<protocol::AttemptFailed>();
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(ends[0].kind, ErrorKind::cancelled);
}

TEST_F(MinerCoreTest, AnAttemptThatFinishesWhileItIsCancelledIsNotSubmitted) {
  attachment.on_message(assign("a"));
  attachment.on_message(protocol::Cancel{AttemptId("a")});
  engine.running.begin()->second.callbacks.on_finish(FinishReason::stop, Digest{});
  executor.run();
  EXPECT_TRUE(link.all<protocol::Submission>().empty());
  EXPECT_EQ(link.all<protocol::AttemptFailed>().size(), 1u);
}

TEST_F(MinerCoreTest, AttemptsEndWithTheirConnection) {
  attachment.on_message(assign("a"));
  attachment.on_disconnected(fail(ErrorKind::unavailable, "lost"));
  EXPECT_EQ(engine.cancelled.size(), 1u);
  EXPECT_EQ(core.busy_slots(), 0u);
}

TEST_F(MinerCoreTest, WorksForSeveralRoutersWithoutMixingThem) {
  RecordingLink other_link;
  protocol::Attachment other{executor, {}, core, {}};
  core.bind(other);
  other.bind(other_link);
  other.on_connected();
  other.on_message(protocol::Welcome{NodeId("other"), 1000});
  attachment.on_message(assign("a"));
  other.on_message(assign("b"));
  executor.run();
  EXPECT_EQ(core.busy_slots(), 2u);
  EXPECT_EQ(link.all<protocol::Heartbeat>().back().elsewhere_slots, 1u);
  EXPECT_EQ(link.all<protocol::Heartbeat>().back().elsewhere_positions, (std::vector<std::uint32_t>{64}));

  other.on_message(protocol::Cancel{AttemptId("a")});  // not its own
  EXPECT_TRUE(engine.cancelled.empty());
  for (auto& [handle, run] : engine.running) run.callbacks.on_step(0, step(5), nullptr);
  executor.run();
  ASSERT_EQ(link.all<protocol::Steps>().size(), 1u);
  EXPECT_EQ(link.all<protocol::Steps>()[0].attempt, AttemptId("a"));
  ASSERT_EQ(other_link.all<protocol::Steps>().size(), 1u);
  EXPECT_EQ(other_link.all<protocol::Steps>()[0].attempt, AttemptId("b"));

  for (const char* id : {"c", "d", "e"}) other.on_message(assign(id));
  executor.run();
  const auto refused = other_link.all<protocol::AttemptFailed>();
  ASSERT_EQ(refused.size(), 2u);  // two of four slots are each one's share
  EXPECT_EQ(refused[0].kind, ErrorKind::overloaded);

  other.on_disconnected(fail(ErrorKind::unavailable, "killed"));
  executor.run();
  EXPECT_EQ(engine.cancelled.size(), 2u);
  EXPECT_EQ(core.busy_slots(), 1u);
  EXPECT_EQ(link.all<protocol::Heartbeat>().back().elsewhere_slots, 0u);
}

TEST_F(MinerCoreTest, BeatsWhileAttachedAndHelpsNoRetryAgainstARefusalForGood) {
  executor.advance(std::chrono::milliseconds(2500));
  EXPECT_EQ(link.all<protocol::Heartbeat>().size(), 3u);
  attachment.on_disconnected(fail(ErrorKind::unavailable, "lost"));
  executor.advance(std::chrono::milliseconds(5000));
  EXPECT_EQ(link.all<protocol::Heartbeat>().size(), 3u);

  attachment.on_connected();
  attachment.on_message(protocol::Refusal{ErrorKind::overloaded, "full"});
  EXPECT_FALSE(link.stopped);
  attachment.on_message(protocol::Refusal{ErrorKind::forbidden, "quarantined"});
  EXPECT_TRUE(link.stopped);
}

TEST_F(MinerCoreTest, TheEngineMayCallAfterTheCoreIsGone) {
  auto core_of_its_own = std::make_unique<MinerCore>(executor, key, std::vector<engine::Engine*>{&engine}, 4);
  core_of_its_own->bind(attachment);
  core_of_its_own->on_work(attachment, assign("late"));
  core_of_its_own.reset();
  engine.running.rbegin()->second.callbacks.on_step(0, step(5), nullptr);
  engine.running.rbegin()->second.callbacks.on_finish(FinishReason::stop, {});
  executor.run();
  EXPECT_TRUE(link.all<protocol::Submission>().empty());
}

}  // namespace
}  // namespace cortensor::miner
