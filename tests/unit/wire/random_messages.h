// Random values within the limits, one kind of message after another. Lengths are mostly short, sometimes at
// a limit.
#pragma once

#include <algorithm>
#include <random>
#include <string>

#include "base/hex.h"
#include "protocol/message.h"

namespace cortensor::wire {

class RandomMessages {
 public:
  explicit RandomMessages(std::uint64_t seed) : random_(seed) {}

  protocol::NodeMessage node_message(std::size_t kind) {
    switch (kind) {
      case 0:
        return hello();
      case 1:
        return steps();
      case 2: {
        protocol::Segment segment{commitment()};
        segment.commitment.finish.reset();
        return segment;
      }
      case 3:
        return protocol::Submission{commitment(), below(protocol::kMaxPromptTokens + 1)};
      case 4:
        return protocol::AttemptFailed{attempt(), error_kind(), text(0, protocol::kMaxReasonBytes)};
      case 5:
        return protocol::CheckResult{attempt(), verdict()};
      default:
        return protocol::Heartbeat{number(), number(), number(), {number(), number()}};
    }
  }

  protocol::RouterMessage router_message(std::size_t kind) {
    switch (kind) {
      case 0:
        return protocol::Welcome{node(), below(1'000'000) + 1};
      case 1:
        return protocol::Refusal{error_kind(), text(0, protocol::kMaxReasonBytes)};
      case 2:
        return protocol::Assign{attempt(),
                                fixed<32>(),
                                request(),
                                tokens(0, 2000),
                                below(2) == 1,
                                below(kMaxTopLogprobs + 1),
                                below(2) == 1 ? std::optional(fixed<32>()) : std::nullopt,
                                number()};
      case 3:
        return protocol::Cancel{attempt()};
      default:
        return protocol::Check{fixed<32>(), request(), transcript(0, 2000), commitment()};
    }
  }

  std::uint64_t number64() { return random_(); }

 private:
  std::uint32_t number() { return static_cast<std::uint32_t>(random_()); }
  std::uint32_t below(std::uint32_t end) { return static_cast<std::uint32_t>(random_() % end); }
  float unit() { return static_cast<float>(below(1 << 24)) / (1 << 24); }

  std::size_t length(std::size_t least, std::size_t most) {
    switch (below(8)) {
      case 0:
        return least;
      case 1:
        return most;
      default:
        return least + random_() % (std::min<std::size_t>(most - least, 40) + 1);
    }
  }
  // Any bytes: text is not required to be UTF-8.
  std::string text(std::size_t least, std::size_t most) {
    std::string to(length(least, most), '\0');
    for (char& c : to) c = static_cast<char>(random_());
    return to;
  }
  template <std::size_t size>
  std::array<std::uint8_t, size> fixed() {
    std::array<std::uint8_t, size> to{};
    for (auto& byte : to) byte = static_cast<std::uint8_t>(random_());
    return to;
  }
  std::string name() { return text(1, protocol::kMaxNameBytes); }
  AttemptId attempt() { return AttemptId(name()); }
  NodeId node() { return NodeId(to_hex(fixed<32>())); }
  ErrorKind error_kind() { return static_cast<ErrorKind>(below(static_cast<int>(ErrorKind::internal) + 1)); }

  std::vector<TokenId> tokens(std::size_t least, std::size_t most) {
    std::vector<TokenId> to(length(least, most));
    for (auto& token : to) token = number();
    return to;
  }
  std::vector<Step> transcript(std::size_t least, std::size_t most) {
    std::vector<Step> to(length(least, most));
    for (auto& step : to) step = {number(), fixed<32>()};
    return to;
  }
  GenerationRequest request() {
    GenerationRequest to;
    to.prompt = tokens(1, 2000);
    to.sampling = {unit() * 2,      1 - unit(),     unit(),         number(), number64(),
                   10 - 9 * unit(), 4 * unit() - 2, 2 - 4 * unit(), {}};
    TokenId token = 0;
    for (std::size_t i = length(0, kMaxLogitBiases); i > 0; --i)
      to.sampling.logit_bias.push_back({token += 1 + below(400), 200 * unit() - 100});
    to.max_tokens = 1 + below(protocol::kMaxAnswerTokens);
    to.stop_tokens = tokens(0, kMaxStopTokens);
    to.stop_strings.resize(length(0, kMaxStopStrings));
    for (auto& stop : to.stop_strings) stop = text(1, kMaxStopStringBytes);
    to.grammar = text(0, kMaxGrammarBytes);
    to.embedding = below(2) * below(kMaxEmbedding + 1);
    return to;
  }
  protocol::Commitment commitment() {
    protocol::Commitment to;
    to.arithmetic_version = number();
    to.model = fixed<32>();
    to.request = fixed<32>();
    to.attempt = attempt();
    to.count = below(protocol::kMaxAnswerTokens + 1);
    to.root = fixed<32>();
    to.finish = static_cast<FinishReason>(below(2));
    to.miner = node();
    to.signature = fixed<64>();
    return to;
  }
  protocol::Verdict verdict() {
    protocol::Verdict to;
    to.commitment = fixed<32>();
    to.method = static_cast<protocol::Method>(below(2));
    to.outcome = static_cast<protocol::Outcome>(below(3));
    to.first_wrong = number();
    to.reason = text(0, protocol::kMaxReasonBytes);
    to.validator = node();
    to.signature = fixed<64>();
    return to;
  }
  protocol::Hello hello() {
    protocol::Hello to;
    to.protocol_version = number();
    to.arithmetic_version = number();
    to.role = static_cast<protocol::Role>(below(2));
    to.node = node();
    to.join_token = text(0, protocol::kMaxNameBytes);
    to.models.resize(length(0, protocol::kMaxModelsPerNode));
    for (auto& model : to.models)
      model = {{name(), name(), name(), fixed<32>(), fixed<32>(), number() | 1, number() | 1},
               unit() * 1e6,
               unit() * 1e3};
    to.slots = number();
    to.isa = text(0, protocol::kMaxNameBytes);
    to.only_for.resize(length(0, protocol::kMaxAccountsPerNode));
    for (AccountId& account : to.only_for) account = AccountId(name());
    return to;
  }
  protocol::Steps steps() {
    protocol::Steps to{attempt(), below(1000), transcript(1, protocol::kMaxStepsPerMessage), {}};
    if (below(2) == 1) {
      to.logprobs.resize(to.steps.size());
      const std::size_t top = below(kMaxTopLogprobs + 1);
      for (Logprobs& one : to.logprobs) {
        one.chosen = -20 * unit();
        for (std::size_t i = 0; i < top; ++i) one.top.push_back({number(), -20 * unit()});
      }
    }
    if (to.steps.size() == 1) to.embedding.assign(length(0, kMaxEmbedding), 2 * unit() - 1);
    return to;
  }

  std::mt19937_64 random_;
};

}  // namespace cortensor::wire
