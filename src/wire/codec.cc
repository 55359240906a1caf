#include "wire/codec.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

#include "base/hex.h"
#include "cortensor/v1/node.pb.h"

namespace cortensor::wire {
namespace {

using namespace protocol;  // NOLINT: this file speaks both languages; the generated one is always written
                           // v1::

// ---- encoding ----

template <class Array>
std::string raw(const Array& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string raw(const NodeId& node) {
  const auto bytes = bytes32_from_hex(node.value);
  return bytes ? raw(*bytes) : std::string();
}

// In every wire enumeration 0 means "not said".
template <class WireEnum, class Enum>
WireEnum shifted(Enum value) {
  return static_cast<WireEnum>(static_cast<int>(value) + 1);
}
static_assert(static_cast<int>(ErrorKind::internal) + 1 == v1::ERROR_KIND_INTERNAL);
static_assert(static_cast<int>(Role::validator) + 1 == v1::ROLE_VALIDATOR);
static_assert(static_cast<int>(FinishReason::length) + 1 == v1::FINISH_REASON_LENGTH);
static_assert(static_cast<int>(Outcome::inconclusive) + 1 == v1::OUTCOME_INCONCLUSIVE);
static_assert(static_cast<int>(Method::quorum) + 1 == v1::METHOD_QUORUM);

void put(const ModelManifest& from, v1::ModelManifest& to) {
  to.set_id(from.id);
  to.set_architecture(from.architecture);
  to.set_quantisation(from.quantisation);
  to.set_weights(raw(from.weights));
  to.set_tokenizer(raw(from.tokenizer));
  to.set_context_length(from.context_length);
  to.set_vocabulary(from.vocabulary);
}

void put(const GenerationRequest& from, v1::GenerationRequest& to) {
  to.mutable_prompt()->Assign(from.prompt.begin(), from.prompt.end());
  v1::Sampling& sampling = *to.mutable_sampling();
  sampling.set_temperature(from.sampling.temperature);
  sampling.set_top_p(from.sampling.top_p);
  sampling.set_min_p(from.sampling.min_p);
  sampling.set_top_k(from.sampling.top_k);
  sampling.set_seed(from.sampling.seed);
  sampling.set_repetition_penalty(from.sampling.repetition_penalty);
  sampling.set_presence_penalty(from.sampling.presence_penalty);
  sampling.set_frequency_penalty(from.sampling.frequency_penalty);
  for (const LogitBias& one : from.sampling.logit_bias) {
    v1::LogitBias& bias = *sampling.add_logit_bias();
    bias.set_token(one.token);
    bias.set_bias(one.bias);
  }
  to.set_max_tokens(from.max_tokens);
  to.mutable_stop_tokens()->Assign(from.stop_tokens.begin(), from.stop_tokens.end());
  for (const std::string& text : from.stop_strings) to.add_stop_strings(text);
  to.set_grammar(from.grammar);
  to.set_embedding(from.embedding);
}

void put(std::span<const Step> from, v1::Transcript& to) {
  to.mutable_tokens()->Reserve(static_cast<int>(from.size()));
  to.mutable_digests()->reserve(from.size() * sizeof(Digest));
  for (const Step& step : from) {
    to.add_tokens(step.token);
    to.mutable_digests()->append(reinterpret_cast<const char*>(step.digest.data()), step.digest.size());
  }
}

void put(const Commitment& from, v1::Commitment& to) {
  to.set_arithmetic_version(from.arithmetic_version);
  to.set_model(raw(from.model));
  to.set_request(raw(from.request));
  to.set_attempt(from.attempt.value);
  to.set_count(from.count);
  to.set_root(raw(from.root));
  to.set_finish(from.finish ? shifted<v1::FinishReason>(*from.finish) : v1::FINISH_REASON_NONE);
  to.set_miner(raw(from.miner));
  to.set_signature(raw(from.signature));
}

void put(const Verdict& from, v1::Verdict& to) {
  to.set_commitment(raw(from.commitment));
  to.set_method(shifted<v1::Method>(from.method));
  to.set_outcome(shifted<v1::Outcome>(from.outcome));
  to.set_first_wrong(from.first_wrong);
  to.set_reason(from.reason);
  to.set_validator(raw(from.validator));
  to.set_signature(raw(from.signature));
}

struct NodeEncoder {
  v1::NodeFrame& frame;

  void operator()(const Hello& from) const {
    v1::Hello& to = *frame.mutable_hello();
    to.set_protocol_version(from.protocol_version);
    to.set_arithmetic_version(from.arithmetic_version);
    to.set_role(shifted<v1::Role>(from.role));
    to.set_node(raw(from.node));
    to.set_join_token(from.join_token);
    for (const ModelOffer& offer : from.models) {
      v1::ModelOffer& model = *to.add_models();
      put(offer.manifest, *model.mutable_manifest());
      model.set_prefill_tokens_per_second(offer.prefill_tokens_per_second);
      model.set_decode_tokens_per_second(offer.decode_tokens_per_second);
      for (const double speed : offer.batch_tokens_per_second) model.add_batch_tokens_per_second(speed);
      model.set_kv_positions(offer.kv_positions);
    }
    to.set_slots(from.slots);
    to.set_isa(from.isa);
    for (const AccountId& account : from.only_for) to.add_only_for(account.value);
  }
  void operator()(const Steps& from) const {
    v1::Steps& to = *frame.mutable_steps();
    to.set_attempt(from.attempt.value);
    to.set_first(from.first);
    put(from.steps, *to.mutable_steps());
    for (const Logprobs& one : from.logprobs) {
      to.add_logprobs(one.chosen);
      for (const TokenLogprob& top : one.top) {
        to.add_top_tokens(top.token);
        to.add_top_logprobs(top.logprob);
      }
    }
    to.mutable_embedding()->Assign(from.embedding.begin(), from.embedding.end());
  }
  void operator()(const Segment& from) const {
    put(from.commitment, *frame.mutable_segment()->mutable_commitment());
  }
  void operator()(const Submission& from) const {
    v1::Submission& to = *frame.mutable_submission();
    put(from.commitment, *to.mutable_commitment());
    to.set_cached_tokens(from.cached_tokens);
  }
  void operator()(const AttemptFailed& from) const {
    v1::AttemptFailed& to = *frame.mutable_attempt_failed();
    to.set_attempt(from.attempt.value);
    to.set_kind(shifted<v1::ErrorKind>(from.kind));
    to.set_message(from.message.substr(0, kMaxReasonBytes));
  }
  void operator()(const CheckResult& from) const {
    v1::CheckResult& to = *frame.mutable_check_result();
    to.set_attempt(from.attempt.value);
    put(from.verdict, *to.mutable_verdict());
  }
  void operator()(const Heartbeat& from) const {
    v1::Heartbeat& to = *frame.mutable_heartbeat();
    to.set_busy_slots(from.busy_slots);
    to.set_elsewhere_slots(from.elsewhere_slots);
    to.set_kept_slots(from.kept_slots);
    to.mutable_elsewhere_positions()->Assign(from.elsewhere_positions.begin(),
                                             from.elsewhere_positions.end());
  }
};

struct RouterEncoder {
  v1::RouterFrame& frame;

  void operator()(const Welcome& from) const {
    v1::Welcome& to = *frame.mutable_welcome();
    to.set_router(raw(from.router));
    to.set_heartbeat_ms(from.heartbeat_ms);
  }
  void operator()(const Refusal& from) const {
    v1::Refusal& to = *frame.mutable_refusal();
    to.set_kind(shifted<v1::ErrorKind>(from.kind));
    to.set_message(from.message.substr(0, kMaxReasonBytes));
  }
  void operator()(const Assign& from) const {
    v1::Assign& to = *frame.mutable_assign();
    to.set_attempt(from.attempt.value);
    to.set_model(raw(from.model));
    put(from.request, *to.mutable_request());
    to.mutable_given()->Assign(from.given.begin(), from.given.end());
    to.set_want_logprobs(from.want_logprobs);
    to.set_top_logprobs(from.top_logprobs);
    if (from.cache_salt) to.set_cache_salt(raw(*from.cache_salt));
    to.set_segment_tokens(from.segment_tokens);
  }
  void operator()(const Cancel& from) const { frame.mutable_cancel()->set_attempt(from.attempt.value); }
  void operator()(const Check& from) const {
    v1::Check& to = *frame.mutable_check();
    to.set_model(raw(from.model));
    put(from.request, *to.mutable_request());
    put(from.steps, *to.mutable_steps());
    put(from.commitment, *to.mutable_commitment());
  }
};

// ---- decoding ----

// Takes fields over and remembers the first that is not acceptable; after it the values taken do not matter.
class Taker {
 public:
  bool failed() const { return error_.has_value(); }
  Error error() { return std::move(*error_); }

  void refuse(const std::string& field, const std::string& expected, const std::string& found) {
    if (!error_)
      error_ = fail(ErrorKind::invalid_input, field + ": expected " + expected + ", found " + found);
  }

  void require(bool holds, const std::string& field, const char* expected) {
    if (!holds && !error_) error_ = fail(ErrorKind::invalid_input, field + ": expected " + expected);
  }

  std::string text(const std::string& field, const std::string& from, std::size_t least, std::size_t most) {
    in_range(field, from.size(), least, most, " bytes");
    return failed() ? std::string() : from;
  }

  std::string name(const std::string& field, const std::string& from) {
    return text(field, from, 1, kMaxNameBytes);
  }

  template <std::size_t size>
  std::array<std::uint8_t, size> fixed(const std::string& field, const std::string& from) {
    std::array<std::uint8_t, size> to{};
    if (from.size() != size)
      refuse(field, std::to_string(size) + " bytes", std::to_string(from.size()));
    else
      std::copy(from.begin(), from.end(), to.begin());
    return to;
  }
  Digest digest(const std::string& field, const std::string& from) { return fixed<32>(field, from); }
  crypto::Signature signature(const std::string& field, const std::string& from) {
    return fixed<64>(field, from);
  }
  NodeId node(const std::string& field, const std::string& from) {
    return NodeId(to_hex(fixed<32>(field, from)));
  }

  // `last` is the greatest value of the enumeration.
  template <class Enum>
  Enum enumeration(const std::string& field, int found, Enum last) {
    if (found < 1 || found > static_cast<int>(last) + 1) {
      refuse(field, "1 to " + std::to_string(static_cast<int>(last) + 1), std::to_string(found));
      return Enum{};
    }
    return static_cast<Enum>(found - 1);
  }

  std::vector<TokenId> tokens(const std::string& field,
                              const google::protobuf::RepeatedField<std::uint32_t>& from, std::size_t least,
                              std::size_t most) {
    in_range(field, static_cast<std::size_t>(from.size()), least, most, " tokens");
    return failed() ? std::vector<TokenId>() : std::vector<TokenId>(from.begin(), from.end());
  }

  void in_range(const std::string& field, std::size_t found, std::size_t least, std::size_t most,
                const char* unit) {
    if (found < least || found > most)
      refuse(field, std::to_string(least) + " to " + std::to_string(most) + unit, std::to_string(found));
  }

 private:
  std::optional<Error> error_;
};

ModelManifest take(Taker& in, const std::string& at, const v1::ModelManifest& from) {
  ModelManifest to;
  to.id = in.name(at + ".id", from.id());
  to.architecture = in.name(at + ".architecture", from.architecture());
  to.quantisation = in.name(at + ".quantisation", from.quantisation());
  to.weights = in.digest(at + ".weights", from.weights());
  to.tokenizer = in.digest(at + ".tokenizer", from.tokenizer());
  to.context_length = from.context_length();
  to.vocabulary = from.vocabulary();
  in.require(to.context_length > 0, at + ".context_length", "at least 1");
  in.require(to.vocabulary > 0, at + ".vocabulary", "at least 1");
  return to;
}

Sampling take(Taker& in, const std::string& at, const v1::Sampling& from) {
  Sampling to{from.temperature(),
              from.top_p(),
              from.min_p(),
              from.top_k(),
              from.seed(),
              from.repetition_penalty(),
              from.presence_penalty(),
              from.frequency_penalty(),
              {}};
  in.require(std::isfinite(to.temperature) && to.temperature >= 0, at + ".temperature",
             "a finite number, not negative");
  in.require(to.top_p > 0 && to.top_p <= 1, at + ".top_p", "above 0, at most 1");
  in.require(to.min_p >= 0 && to.min_p < 1, at + ".min_p", "from 0, below 1");
  in.require(to.repetition_penalty > 0 && to.repetition_penalty <= kMaxRepetitionPenalty,
             at + ".repetition_penalty", "above 0, at most 10");
  in.require(std::abs(to.presence_penalty) <= kMaxPenalty, at + ".presence_penalty", "-2 to 2");
  in.require(std::abs(to.frequency_penalty) <= kMaxPenalty, at + ".frequency_penalty", "-2 to 2");
  in.in_range(at + ".logit_bias", static_cast<std::size_t>(from.logit_bias_size()), 0, kMaxLogitBiases, "");
  if (in.failed()) return to;
  for (const v1::LogitBias& one : from.logit_bias()) {
    in.require(to.logit_bias.empty() || one.token() > to.logit_bias.back().token, at + ".logit_bias",
               "rising tokens");
    in.require(std::abs(one.bias()) <= kMaxLogitBias, at + ".logit_bias", "-100 to 100");
    to.logit_bias.push_back({one.token(), one.bias()});
  }
  return to;
}

GenerationRequest take(Taker& in, const std::string& at, const v1::GenerationRequest& from) {
  GenerationRequest to;
  to.prompt = in.tokens(at + ".prompt", from.prompt(), 1, kMaxPromptTokens);
  to.sampling = take(in, at + ".sampling", from.sampling());
  to.max_tokens = from.max_tokens();
  in.in_range(at + ".max_tokens", to.max_tokens, 1, kMaxAnswerTokens, "");
  to.stop_tokens = in.tokens(at + ".stop_tokens", from.stop_tokens(), 0, kMaxStopTokens);
  in.in_range(at + ".stop_strings", static_cast<std::size_t>(from.stop_strings_size()), 0, kMaxStopStrings,
              "");
  for (int i = 0; i < from.stop_strings_size() && !in.failed(); ++i)
    to.stop_strings.push_back(in.text(at + ".stop_strings", from.stop_strings(i), 1, kMaxStopStringBytes));
  to.grammar = in.text(at + ".grammar", from.grammar(), 0, kMaxGrammarBytes);
  to.embedding = from.embedding();
  in.in_range(at + ".embedding", to.embedding, 0, kMaxEmbedding, "");
  return to;
}

std::vector<Step> take(Taker& in, const std::string& at, const v1::Transcript& from, std::size_t least,
                       std::size_t most) {
  const auto count = static_cast<std::size_t>(from.tokens_size());
  in.in_range(at + ".tokens", count, least, most, " tokens");
  if (from.digests().size() != count * sizeof(Digest))
    in.refuse(at + ".digests", std::to_string(count * sizeof(Digest)) + " bytes",
              std::to_string(from.digests().size()));
  std::vector<Step> to;
  if (in.failed()) return to;
  to.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    to[i].token = from.tokens(static_cast<int>(i));
    std::copy_n(from.digests().begin() + static_cast<std::ptrdiff_t>(i * sizeof(Digest)), sizeof(Digest),
                to[i].digest.begin());
  }
  return to;
}

Commitment take(Taker& in, const std::string& at, const v1::Commitment& from, bool whole) {
  Commitment to;
  to.arithmetic_version = from.arithmetic_version();
  to.model = in.digest(at + ".model", from.model());
  to.request = in.digest(at + ".request", from.request());
  to.attempt = AttemptId(in.name(at + ".attempt", from.attempt()));
  to.count = from.count();
  in.in_range(at + ".count", to.count, 0, kMaxAnswerTokens, "");
  to.root = in.digest(at + ".root", from.root());
  to.finish.reset();
  if (whole) to.finish = in.enumeration(at + ".finish", from.finish(), FinishReason::length);
  in.require(whole || from.finish() == v1::FINISH_REASON_NONE, at + ".finish", "none");
  to.miner = in.node(at + ".miner", from.miner());
  to.signature = in.signature(at + ".signature", from.signature());
  return to;
}

Verdict take(Taker& in, const std::string& at, const v1::Verdict& from) {
  Verdict to;
  to.commitment = in.digest(at + ".commitment", from.commitment());
  to.method = in.enumeration(at + ".method", from.method(), Method::quorum);
  to.outcome = in.enumeration(at + ".outcome", from.outcome(), Outcome::inconclusive);
  to.first_wrong = from.first_wrong();
  to.reason = in.text(at + ".reason", from.reason(), 0, kMaxReasonBytes);
  to.validator = in.node(at + ".validator", from.validator());
  to.signature = in.signature(at + ".signature", from.signature());
  return to;
}

Hello take(Taker& in, const v1::Hello& from) {
  Hello to;
  to.protocol_version = from.protocol_version();
  to.arithmetic_version = from.arithmetic_version();
  to.role = in.enumeration("hello.role", from.role(), Role::validator);
  to.node = in.node("hello.node", from.node());
  to.join_token = in.text("hello.join_token", from.join_token(), 0, kMaxNameBytes);
  in.in_range("hello.models", static_cast<std::size_t>(from.models_size()), 0, kMaxModelsPerNode, "");
  for (int i = 0; i < from.models_size() && !in.failed(); ++i) {
    const std::string at = "hello.models[" + std::to_string(i) + "]";
    const v1::ModelOffer& offer = from.models(i);
    ModelOffer& model = to.models.emplace_back();
    model.manifest = take(in, at + ".manifest", offer.manifest());
    model.prefill_tokens_per_second = offer.prefill_tokens_per_second();
    model.decode_tokens_per_second = offer.decode_tokens_per_second();
    const auto speed = [](double value) { return std::isfinite(value) && value >= 0; };
    in.require(speed(model.prefill_tokens_per_second), at + ".prefill_tokens_per_second",
               "a finite number, not negative");
    in.require(speed(model.decode_tokens_per_second), at + ".decode_tokens_per_second",
               "a finite number, not negative");
    const auto& batches = offer.batch_tokens_per_second();
    in.in_range(at + ".batch_tokens_per_second", static_cast<std::size_t>(batches.size()), 0, kMaxBatchSpeeds,
                "");
    in.require(std::all_of(batches.begin(), batches.end(), speed), at + ".batch_tokens_per_second",
               "finite numbers, not negative");
    model.batch_tokens_per_second.assign(batches.begin(), batches.end());
    model.kv_positions = offer.kv_positions();
  }
  to.slots = from.slots();
  to.isa = in.text("hello.isa", from.isa(), 0, kMaxNameBytes);
  in.in_range("hello.only_for", static_cast<std::size_t>(from.only_for_size()), 0, kMaxAccountsPerNode, "");
  for (int i = 0; i < from.only_for_size() && !in.failed(); ++i)
    to.only_for.emplace_back(
        in.text("hello.only_for[" + std::to_string(i) + "]", from.only_for(i), 1, kMaxNameBytes));
  return to;
}

void take_logprobs(Taker& in, const v1::Steps& from, std::vector<Logprobs>& to) {
  const int count = from.logprobs_size(), top = from.top_tokens_size();
  const int each = count == 0 ? 0 : top / count;
  in.in_range("steps.top_tokens", static_cast<std::size_t>(each), 0, kMaxTopLogprobs, " for each step");
  if (each * count != top || from.top_logprobs_size() != top)
    in.refuse("steps.top_tokens", "as many for each step, each with a log-probability", std::to_string(top));
  if (in.failed()) return;
  for (int i = 0; i < count; ++i) {
    Logprobs& one = to.emplace_back(Logprobs{from.logprobs(i), {}});
    in.require(std::isfinite(one.chosen), "steps.logprobs", "finite numbers");
    for (int k = i * each; k < (i + 1) * each; ++k) {
      one.top.push_back({from.top_tokens(k), from.top_logprobs(k)});
      in.require(std::isfinite(from.top_logprobs(k)), "steps.top_logprobs", "finite numbers");
    }
  }
}

Steps take(Taker& in, const v1::Steps& from) {
  Steps to;
  to.attempt = AttemptId(in.name("steps.attempt", from.attempt()));
  to.first = from.first();
  in.in_range("steps.first", to.first, 0, kMaxAnswerTokens - 1, "");
  to.steps = take(in, "steps.steps", from.steps(), 1, kMaxStepsPerMessage);
  const auto count = static_cast<std::size_t>(from.logprobs_size());
  if (count != 0 && count != to.steps.size())
    in.refuse("steps.logprobs", "none or " + std::to_string(to.steps.size()), std::to_string(count));
  if (in.failed()) return to;
  in.in_range("steps.first + steps", to.first + to.steps.size(), 1, kMaxAnswerTokens, "");
  take_logprobs(in, from, to.logprobs);
  const auto elements = static_cast<std::size_t>(from.embedding_size());
  in.in_range("steps.embedding", elements, 0, kMaxEmbedding, " elements");
  in.require(elements == 0 || to.steps.size() == 1, "steps.embedding", "one step beside it");
  if (in.failed()) return to;
  to.embedding.assign(from.embedding().begin(), from.embedding().end());
  for (const float element : to.embedding)
    in.require(std::isfinite(element), "steps.embedding", "finite numbers");
  return to;
}

Submission take(Taker& in, const v1::Submission& from) {
  Submission to{take(in, "submission.commitment", from.commitment(), true), from.cached_tokens()};
  in.in_range("submission.cached_tokens", to.cached_tokens, 0, kMaxPromptTokens, "");
  return to;
}

AttemptFailed take(Taker& in, const v1::AttemptFailed& from) {
  AttemptFailed to;
  to.attempt = AttemptId(in.name("attempt_failed.attempt", from.attempt()));
  to.kind = in.enumeration("attempt_failed.kind", from.kind(), ErrorKind::internal);
  to.message = in.text("attempt_failed.message", from.message(), 0, kMaxReasonBytes);
  return to;
}

CheckResult take(Taker& in, const v1::CheckResult& from) {
  CheckResult to;
  to.attempt = AttemptId(in.name("check_result.attempt", from.attempt()));
  to.verdict = take(in, "check_result.verdict", from.verdict());
  return to;
}

Heartbeat take(Taker& in, const v1::Heartbeat& from) {
  Heartbeat to;
  to.busy_slots = from.busy_slots();
  to.elsewhere_slots = from.elsewhere_slots();
  to.kept_slots = from.kept_slots();
  const auto& positions = from.elsewhere_positions();
  in.in_range("heartbeat.elsewhere_positions", static_cast<std::size_t>(positions.size()), 0,
              kMaxModelsPerNode, " models");
  to.elsewhere_positions.assign(positions.begin(), positions.end());
  return to;
}

Welcome take(Taker& in, const v1::Welcome& from) {
  Welcome to;
  to.router = in.node("welcome.router", from.router());
  to.heartbeat_ms = from.heartbeat_ms();
  in.require(to.heartbeat_ms > 0, "welcome.heartbeat_ms", "at least 1");
  return to;
}

Refusal take(Taker& in, const v1::Refusal& from) {
  Refusal to;
  to.kind = in.enumeration("refusal.kind", from.kind(), ErrorKind::internal);
  to.message = in.text("refusal.message", from.message(), 0, kMaxReasonBytes);
  return to;
}

Assign take(Taker& in, const v1::Assign& from) {
  Assign to;
  to.attempt = AttemptId(in.name("assign.attempt", from.attempt()));
  to.model = in.digest("assign.model", from.model());
  to.request = take(in, "assign.request", from.request());
  to.given = in.tokens("assign.given", from.given(), 0, kMaxAnswerTokens);
  to.want_logprobs = from.want_logprobs();
  to.top_logprobs = from.top_logprobs();
  in.in_range("assign.top_logprobs", to.top_logprobs, 0, kMaxTopLogprobs, "");
  if (!from.cache_salt().empty()) to.cache_salt = in.fixed<32>("assign.cache_salt", from.cache_salt());
  to.segment_tokens = from.segment_tokens();
  return to;
}

Check take(Taker& in, const v1::Check& from) {
  Check to;
  to.model = in.digest("check.model", from.model());
  to.request = take(in, "check.request", from.request());
  to.steps = take(in, "check.steps", from.steps(), 0, kMaxAnswerTokens);
  to.commitment = take(in, "check.commitment", from.commitment(), true);
  return to;
}

NodeMessage take(Taker& in, const v1::NodeFrame& from) {
  switch (from.message_case()) {
    case v1::NodeFrame::kHello:
      return take(in, from.hello());
    case v1::NodeFrame::kSteps:
      return take(in, from.steps());
    case v1::NodeFrame::kSegment:
      return Segment{take(in, "segment.commitment", from.segment().commitment(), false)};
    case v1::NodeFrame::kSubmission:
      return take(in, from.submission());
    case v1::NodeFrame::kAttemptFailed:
      return take(in, from.attempt_failed());
    case v1::NodeFrame::kCheckResult:
      return take(in, from.check_result());
    case v1::NodeFrame::kHeartbeat:
      return take(in, from.heartbeat());
    case v1::NodeFrame::MESSAGE_NOT_SET:
      break;
  }
  in.refuse("frame.message", "one that version 1 knows", "none");
  return {};
}

RouterMessage take(Taker& in, const v1::RouterFrame& from) {
  switch (from.message_case()) {
    case v1::RouterFrame::kWelcome:
      return take(in, from.welcome());
    case v1::RouterFrame::kRefusal:
      return take(in, from.refusal());
    case v1::RouterFrame::kAssign:
      return take(in, from.assign());
    case v1::RouterFrame::kCancel:
      return Cancel{AttemptId(in.name("cancel.attempt", from.cancel().attempt()))};
    case v1::RouterFrame::kCheck:
      return take(in, from.check());
    case v1::RouterFrame::MESSAGE_NOT_SET:
      break;
  }
  in.refuse("frame.message", "one that version 1 knows", "none");
  return {};
}

template <class OurFrame, class WireFrame>
Result<OurFrame> decode(std::string_view bytes, std::size_t limit) {
  if (bytes.size() > limit)
    return fail(ErrorKind::invalid_input, "frame: expected at most " + std::to_string(limit) +
                                              " bytes, found " + std::to_string(bytes.size()));
  WireFrame frame;
  if (!frame.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return fail(ErrorKind::invalid_input, "frame: the bytes do not parse");
  Taker in;
  auto message = take(in, frame);
  if (in.failed()) return in.error();
  return OurFrame{frame.sequence(), std::move(message)};
}

}  // namespace

std::string encode(const NodeFrame& frame) {
  v1::NodeFrame out;
  out.set_sequence(frame.sequence);
  std::visit(NodeEncoder{out}, frame.message);
  return out.SerializeAsString();
}

std::string encode(const RouterFrame& frame) {
  v1::RouterFrame out;
  out.set_sequence(frame.sequence);
  std::visit(RouterEncoder{out}, frame.message);
  return out.SerializeAsString();
}

Result<NodeFrame> decode_node_frame(std::string_view bytes) {
  return decode<NodeFrame, v1::NodeFrame>(bytes, kMaxNodeFrameBytes);
}

Result<RouterFrame> decode_router_frame(std::string_view bytes) {
  return decode<RouterFrame, v1::RouterFrame>(bytes, kMaxFrameBytes);
}

Status SequenceCheck::next(std::uint64_t found) {
  if (found != expected_)
    return fail(ErrorKind::invalid_input, std::string(found < expected_ ? "replayed" : "missing") +
                                              " frame: expected sequence " + std::to_string(expected_) +
                                              ", found " + std::to_string(found));
  ++expected_;
  return ok();
}

}  // namespace cortensor::wire
