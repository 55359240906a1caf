// Claims: decode(encode(x)) == x for every kind of message and any value within the limits; everything else
// is refused, naming the field; arbitrary bytes never do more than fail.
#include "wire/codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "cortensor/v1/node.pb.h"
#include "random_messages.h"

namespace cortensor::wire {
namespace {

using testing::HasSubstr;

constexpr std::size_t kNodeKinds = std::variant_size_v<protocol::NodeMessage>;
constexpr std::size_t kRouterKinds = std::variant_size_v<protocol::RouterMessage>;

TEST(Codec, DecodingUndoesEncoding) {
  RandomMessages random(1);
  for (int round = 0; round < 200; ++round) {
    for (std::size_t kind = 0; kind < kNodeKinds; ++kind) {
      const NodeFrame frame{random.number64(), random.node_message(kind)};
      ASSERT_EQ(frame.message.index(), kind);
      const auto back = decode_node_frame(encode(frame));
      ASSERT_TRUE(back) << "kind " << kind << ": " << back.error().message;
      EXPECT_TRUE(*back == frame) << "kind " << kind;
    }
    for (std::size_t kind = 0; kind < kRouterKinds; ++kind) {
      const RouterFrame frame{random.number64(), random.router_message(kind)};
      ASSERT_EQ(frame.message.index(), kind);
      const auto back = decode_router_frame(encode(frame));
      ASSERT_TRUE(back) << "kind " << kind << ": " << back.error().message;
      EXPECT_TRUE(*back == frame) << "kind " << kind;
    }
  }
}

TEST(Codec, TheLargestMessagesFitTheirFrames) {
  RandomMessages random(2);
  auto check = std::get<protocol::Check>(random.router_message(4));
  check.request.prompt.assign(protocol::kMaxPromptTokens, std::numeric_limits<TokenId>::max());
  check.request.grammar.assign(kMaxGrammarBytes, 'g');
  check.steps.assign(protocol::kMaxAnswerTokens, {std::numeric_limits<TokenId>::max(), {}});
  const RouterFrame frame{1, check};
  const auto back = decode_router_frame(encode(frame));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_TRUE(*back == frame);

  auto steps = std::get<protocol::Steps>(random.node_message(1));
  steps.first = 0;
  steps.steps.assign(protocol::kMaxStepsPerMessage, {std::numeric_limits<TokenId>::max(), {}});
  steps.logprobs.assign(steps.steps.size(),
                        {-1.0f, std::vector<TokenLogprob>(kMaxTopLogprobs, {~0u, -1.0f})});
  EXPECT_TRUE(decode_node_frame(encode(NodeFrame{1, steps})));

  steps.steps.resize(1);
  steps.logprobs.resize(1);
  steps.embedding.assign(kMaxEmbedding, -0.1f);
  EXPECT_TRUE(decode_node_frame(encode(NodeFrame{1, steps})));

  auto hello = std::get<protocol::Hello>(random.node_message(0));
  const std::string name(protocol::kMaxNameBytes, 'n');
  hello.models.assign(protocol::kMaxModelsPerNode, {{name, name, name, {}, {}, ~0u, ~0u}, 1.5, 2.5});
  EXPECT_TRUE(decode_node_frame(encode(NodeFrame{1, hello})));
}

TEST(Codec, CutsFreeTextToItsLimit) {
  const std::string text(10'000, 'x');
  const auto failed = decode_node_frame(
      encode(NodeFrame{1, protocol::AttemptFailed{AttemptId("att_1"), ErrorKind::internal, text}}));
  ASSERT_TRUE(failed);
  EXPECT_EQ(std::get<protocol::AttemptFailed>(failed->message).message.size(), protocol::kMaxReasonBytes);
  const auto refusal =
      decode_router_frame(encode(RouterFrame{1, protocol::Refusal{ErrorKind::forbidden, text}}));
  ASSERT_TRUE(refusal);
  EXPECT_EQ(std::get<protocol::Refusal>(refusal->message).message.size(), protocol::kMaxReasonBytes);
}

// One deviation each from a good message, and what the error has to say.
template <class Message, class Change>
std::string error_of_node(Change change) {
  RandomMessages random(3);
  for (std::size_t kind = 0;; ++kind) {
    auto message = random.node_message(kind);
    if (auto* value = std::get_if<Message>(&message)) {
      change(*value);
      const auto back = decode_node_frame(encode(NodeFrame{1, message}));
      return back ? "accepted" : back.error().message;
    }
  }
}

template <class Message, class Change>
std::string error_of_router(Change change) {
  RandomMessages random(4);
  for (std::size_t kind = 0;; ++kind) {
    auto message = random.router_message(kind);
    if (auto* value = std::get_if<Message>(&message)) {
      change(*value);
      const auto back = decode_router_frame(encode(RouterFrame{1, message}));
      return back ? "accepted" : back.error().message;
    }
  }
}

TEST(Codec, NamesTheFieldOfAHelloBeyondItsLimit) {
  using protocol::Hello;
  const auto error = [](auto change) { return error_of_node<Hello>(change); };
  EXPECT_EQ(error([](Hello& m) { m.node = NodeId(); }), "hello.node: expected 32 bytes, found 0");
  EXPECT_EQ(error([](Hello& m) { m.join_token.assign(129, 't'); }),
            "hello.join_token: expected 0 to 128 bytes, found 129");
  EXPECT_EQ(error([](Hello& m) { m.models.resize(65); }), "hello.models: expected 0 to 64, found 65");
  EXPECT_EQ(error([](Hello& m) { m.models.assign(1, {}); }),
            "hello.models[0].manifest.id: expected 1 to 128 bytes, found 0");
  EXPECT_EQ(error([](Hello& m) { m.only_for.resize(65); }), "hello.only_for: expected 0 to 64, found 65");
  EXPECT_EQ(error([](Hello& m) { m.only_for.assign(1, AccountId()); }),
            "hello.only_for[0]: expected 1 to 128 bytes, found 0");
  const auto with_model = [&](protocol::ModelOffer offer) {
    return error([&](Hello& m) { m.models.assign(2, offer); });
  };
  EXPECT_EQ(with_model({{"m", "a", "q", {}, {}, 1, 1}, 0, 0}), "accepted");
  EXPECT_EQ(with_model({{"m", "a", "q", {}, {}, 0, 1}, 1, 1}),
            "hello.models[0].manifest.context_length: expected at least 1");
  EXPECT_EQ(with_model({{"m", "a", "q", {}, {}, 1, 1}, std::nan(""), 1}),
            "hello.models[0].prefill_tokens_per_second: expected a finite number, not negative");
  EXPECT_EQ(with_model({{"m", "a", "q", {}, {}, 1, 1}, 1, -1}),
            "hello.models[0].decode_tokens_per_second: expected a finite number, not negative");
  EXPECT_EQ(with_model({{"m", "a", "q", {}, {}, 1, 1}, 1, 1, std::vector<double>(11, 1)}),
            "hello.models[0].batch_tokens_per_second: expected 0 to 10, found 11");
  EXPECT_EQ(with_model({{"m", "a", "q", {}, {}, 1, 1}, 1, 1, {1, -1}}),
            "hello.models[0].batch_tokens_per_second: expected finite numbers, not negative");
}

TEST(Codec, NamesTheNodeFieldBeyondItsLimit) {
  using namespace protocol;
  const auto steps = [](auto change) { return error_of_node<Steps>(change); };
  EXPECT_EQ(steps([](Steps& m) { m.steps.clear(); }),
            "steps.steps.tokens: expected 1 to 1024 tokens, found 0");
  EXPECT_EQ(steps([](Steps& m) { m.steps.resize(1025); }),
            "steps.steps.tokens: expected 1 to 1024 tokens, found 1025");
  EXPECT_EQ(steps([](Steps& m) { m.steps.resize(3), m.logprobs.resize(2); }),
            "steps.logprobs: expected none or 3, found 2");
  EXPECT_EQ(steps([](Steps& m) {
              m.logprobs.assign(m.steps.size(), Logprobs{INFINITY, {}});
            }),
            "steps.logprobs: expected finite numbers");
  EXPECT_EQ(steps([](Steps& m) {
              m.logprobs.assign(m.steps.size(), Logprobs{0, {{1, NAN}}});
            }),
            "steps.top_logprobs: expected finite numbers");
  EXPECT_EQ(steps([](Steps& m) {
              m.steps.resize(2), m.logprobs = {{0, {{1, 0}, {2, 0}}}, {0, {{1, 0}}}};
            }),
            "steps.top_tokens: expected as many for each step, each with a log-probability, found 3");
  EXPECT_EQ(steps([](Steps& m) {
              m.logprobs.assign(m.steps.size(), Logprobs{0, std::vector<TokenLogprob>(21)});
            }),
            "steps.top_tokens: expected 0 to 20 for each step, found 21");
  EXPECT_EQ(steps([](Steps& m) { m.first = ~0u; }), "steps.first: expected 0 to 131071, found 4294967295");
  EXPECT_EQ(steps([](Steps& m) { m.first = kMaxAnswerTokens - 1, m.steps.resize(2), m.logprobs.clear(); }),
            "steps.first + steps: expected 1 to 131072, found 131073");
  EXPECT_EQ(error_of_node<Heartbeat>([](Heartbeat& m) { m.elsewhere_positions.resize(65); }),
            "heartbeat.elsewhere_positions: expected 0 to 64 models, found 65");
  EXPECT_EQ(error_of_node<Submission>([](Submission& m) { m.commitment.attempt = AttemptId(); }),
            "submission.commitment.attempt: expected 1 to 128 bytes, found 0");
  EXPECT_EQ(error_of_node<Submission>([](Submission& m) { m.commitment.count = kMaxAnswerTokens + 1; }),
            "submission.commitment.count: expected 0 to 131072, found 131073");
  EXPECT_EQ(error_of_node<Submission>([](Submission& m) { m.cached_tokens = kMaxPromptTokens + 1; }),
            "submission.cached_tokens: expected 0 to 262144, found 262145");
  EXPECT_EQ(error_of_node<CheckResult>([](CheckResult& m) { m.verdict.reason.assign(501, 'r'); }),
            "check_result.verdict.reason: expected 0 to 500 bytes, found 501");
  EXPECT_EQ(
      error_of_node<AttemptFailed>([](AttemptFailed& m) { m.attempt = AttemptId(std::string(129, 'a')); }),
      "attempt_failed.attempt: expected 1 to 128 bytes, found 129");
}

TEST(Codec, TakesAnEmbeddingBesideOneStepOnly) {
  const auto error = [](std::size_t steps, std::size_t elements, float element) {
    return error_of_node<protocol::Steps>([&](protocol::Steps& m) {
      m.steps.assign(steps, {});
      m.logprobs.clear();
      m.embedding.assign(elements, element);
    });
  };
  EXPECT_EQ(error(1, kMaxEmbedding, 1), "accepted");
  EXPECT_EQ(error(1, kMaxEmbedding + 1, 1), "steps.embedding: expected 0 to 32768 elements, found 32769");
  EXPECT_EQ(error(2, 1, 1), "steps.embedding: expected one step beside it");
  EXPECT_EQ(error(1, 1, NAN), "steps.embedding: expected finite numbers");
}

TEST(Codec, NamesTheRouterFieldBeyondItsLimit) {
  using namespace protocol;
  const auto request = [](auto change) {
    return error_of_router<Assign>([&](Assign& m) { change(m.request); });
  };
  EXPECT_EQ(request([](auto& r) { r.prompt.clear(); }),
            "assign.request.prompt: expected 1 to 262144 tokens, found 0");
  EXPECT_EQ(request([](auto& r) { r.prompt.resize(kMaxPromptTokens + 1); }),
            "assign.request.prompt: expected 1 to 262144 tokens, found 262145");
  EXPECT_EQ(request([](auto& r) { r.sampling.temperature = NAN; }),
            "assign.request.sampling.temperature: expected a finite number, not negative");
  EXPECT_EQ(request([](auto& r) { r.sampling.temperature = -1; }),
            "assign.request.sampling.temperature: expected a finite number, not negative");
  EXPECT_EQ(request([](auto& r) { r.sampling.top_p = 0; }),
            "assign.request.sampling.top_p: expected above 0, at most 1");
  EXPECT_EQ(request([](auto& r) { r.sampling.min_p = 1; }),
            "assign.request.sampling.min_p: expected from 0, below 1");
  EXPECT_EQ(request([](auto& r) { r.grammar.assign(kMaxGrammarBytes + 1, 'g'); }),
            "assign.request.grammar: expected 0 to 65536 bytes, found 65537");
  EXPECT_EQ(request([](auto& r) { r.sampling.repetition_penalty = 0; }),
            "assign.request.sampling.repetition_penalty: expected above 0, at most 10");
  EXPECT_EQ(request([](auto& r) { r.sampling.presence_penalty = NAN; }),
            "assign.request.sampling.presence_penalty: expected -2 to 2");
  EXPECT_EQ(request([](auto& r) { r.sampling.frequency_penalty = 2.5f; }),
            "assign.request.sampling.frequency_penalty: expected -2 to 2");
  EXPECT_EQ(request([](auto& r) { r.sampling.logit_bias.resize(301); }),
            "assign.request.sampling.logit_bias: expected 0 to 300, found 301");
  EXPECT_EQ(request([](auto& r) {
              r.sampling.logit_bias = {{1, 100.5f}};
            }),
            "assign.request.sampling.logit_bias: expected -100 to 100");
  EXPECT_EQ(request([](auto& r) {
              r.sampling.logit_bias = {{1, 1}, {1, 1}};
            }),
            "assign.request.sampling.logit_bias: expected rising tokens");
  EXPECT_EQ(request([](auto& r) { r.max_tokens = 0; }),
            "assign.request.max_tokens: expected 1 to 131072, found 0");
  EXPECT_EQ(request([](auto& r) { r.embedding = kMaxEmbedding + 1; }),
            "assign.request.embedding: expected 0 to 32768, found 32769");
  EXPECT_EQ(request([](auto& r) { r.stop_tokens.resize(17); }),
            "assign.request.stop_tokens: expected 0 to 16 tokens, found 17");
  EXPECT_EQ(request([](auto& r) { r.stop_strings.assign(5, "s"); }),
            "assign.request.stop_strings: expected 0 to 4, found 5");
  EXPECT_EQ(request([](auto& r) { r.stop_strings.assign(1, ""); }),
            "assign.request.stop_strings: expected 1 to 256 bytes, found 0");
  EXPECT_EQ(error_of_router<Assign>([](Assign& m) { m.given.resize(kMaxAnswerTokens + 1); }),
            "assign.given: expected 0 to 131072 tokens, found 131073");
  EXPECT_EQ(error_of_router<Check>([](Check& m) { m.steps.resize(kMaxAnswerTokens + 1); }),
            "check.steps.tokens: expected 0 to 131072 tokens, found 131073");
  EXPECT_EQ(error_of_router<Welcome>([](Welcome& m) { m.heartbeat_ms = 0; }),
            "welcome.heartbeat_ms: expected at least 1");
  EXPECT_EQ(error_of_router<Cancel>([](Cancel& m) { m.attempt = AttemptId(); }),
            "cancel.attempt: expected 1 to 128 bytes, found 0");
}

TEST(Codec, RefusesWhatOurTypesCannotSay) {
  const auto error_of = [](const v1::NodeFrame& frame) {
    const auto back = decode_node_frame(frame.SerializeAsString());
    return back ? "accepted" : back.error().message;
  };
  v1::NodeFrame frame;
  frame.set_sequence(1);
  EXPECT_EQ(error_of(frame), "frame.message: expected one that version 1 knows, found none");

  RandomMessages random(5);
  ASSERT_TRUE(frame.ParseFromString(encode(NodeFrame{1, random.node_message(1)})));
  frame.mutable_steps()->mutable_steps()->mutable_digests()->push_back('x');
  EXPECT_THAT(error_of(frame), HasSubstr("steps.steps.digests: expected "));

  ASSERT_TRUE(frame.ParseFromString(encode(NodeFrame{1, random.node_message(3)})));
  auto& commitment = *frame.mutable_submission()->mutable_commitment();
  for (const int value : {0, 3, 77, -1}) {
    commitment.set_finish(static_cast<v1::FinishReason>(value));
    EXPECT_EQ(error_of(frame),
              "submission.commitment.finish: expected 1 to 2, found " + std::to_string(value));
  }
  commitment.set_finish(v1::FINISH_REASON_STOP);
  EXPECT_EQ(error_of(frame), "accepted");
  commitment.mutable_signature()->pop_back();
  EXPECT_EQ(error_of(frame), "submission.commitment.signature: expected 64 bytes, found 63");

  ASSERT_TRUE(frame.ParseFromString(encode(NodeFrame{1, random.node_message(2)})));
  frame.mutable_segment()->mutable_commitment()->set_finish(v1::FINISH_REASON_STOP);
  EXPECT_EQ(error_of(frame), "segment.commitment.finish: expected none");

  frame.mutable_hello();  // all defaults
  EXPECT_EQ(error_of(frame), "hello.role: expected 1 to 2, found 0");
}

TEST(Codec, RefusesGarbageAndGiants) {
  EXPECT_EQ(decode_node_frame("\xff\xff\xff").error().message, "frame: the bytes do not parse");
  EXPECT_EQ(decode_node_frame(std::string(kMaxNodeFrameBytes + 1, 'x')).error().message,
            "frame: expected at most 262144 bytes, found 262145");
  EXPECT_EQ(decode_router_frame(std::string(protocol::kMaxFrameBytes + 1, 'x')).error().message,
            "frame: expected at most 8388608 bytes, found 8388609");
  RandomMessages random(6);
  std::mt19937_64 noise(7);
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = encode(NodeFrame{1, random.node_message(noise() % kNodeKinds)});
    for (auto flips = 1 + noise() % 4; flips > 0; --flips)
      bytes[noise() % bytes.size()] ^= static_cast<char>(1 << noise() % 8);
    if (noise() % 4 == 0) bytes.resize(noise() % bytes.size());
    // What is accepted is a value within the limits: it survives another round trip.
    if (const auto frame = decode_node_frame(bytes)) {
      EXPECT_TRUE(*decode_node_frame(encode(*frame)) == *frame);
    }
    if (const auto frame = decode_router_frame(bytes)) {
      EXPECT_TRUE(*decode_router_frame(encode(*frame)) == *frame);
    }
  }
}

}  // namespace
}  // namespace cortensor::wire
