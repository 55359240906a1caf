#include "router/core/attempt.h"

#include <limits>

#include "protocol/canonical.h"

namespace cortensor::router {
namespace {

Error violation(std::string message) {
  return fail(ErrorKind::conflict, std::move(message));
}

// Steps are hashed that many at a time: one by one, at the pace of a model, each finds the caches cold.
constexpr std::size_t kHashBatch = 32;

Logprobs unknown() {
  return {std::numeric_limits<float>::quiet_NaN(), {}};
}

}  // namespace

Attempt::Attempt(AttemptId id, NodeId miner, Engagement engagement, std::vector<Step> given,
                 const GenerationRequest& request, const engine::Tokenizer& tokenizer,
                 std::uint32_t context_length, Clock::time_point now)
    : id_(std::move(id)),
      miner_(std::move(miner)),
      engagement_(engagement),
      elements_(request.embedding),
      given_(std::move(given)),
      matcher_(request, tokenizer, context_length),
      last_progress_(now) {}

Status Attempt::take(const protocol::Steps& message, Clock::time_point now) {
  if (commitment_) return violation("steps after the submission");
  if (message.steps.empty()) return violation("a message without steps");
  if (!message.logprobs.empty() && message.logprobs.size() != message.steps.size())
    return violation("expected one log-probability per step");
  if (!started_ && message.first == given_.size())
    if (auto status = adopt_given(); !status) return status;
  if (message.first != steps_.size())
    return violation("expected steps from " + std::to_string(steps_.size()) + " on, found " +
                     std::to_string(message.first));
  if (auto status = take_embedding(message); !status) return status;
  for (std::size_t i = 0; i < message.steps.size(); ++i)
    if (auto status = take_one(message.steps[i], message.logprobs.empty() ? unknown() : message.logprobs[i]);
        !status)
      return status;
  started_ = true;
  last_progress_ = now;
  if (steps_.size() > given_.size() && first_new_ == 0) {
    first_new_ = steps_.size();
    first_new_at_ = now;
  }
  if (fresh() > 0 && (stride_first_ == 0 || steps_.size() - stride_first_ >= kStride)) {
    stride_first_ = steps_.size();
    stride_since_ = now;
  }
  return ok();
}

// What the digest does not cover could not be proven wrong later.
Status Attempt::take_embedding(const protocol::Steps& message) {
  if (message.embedding.size() != elements_)
    return violation("expected an embedding of " + std::to_string(elements_) + " elements, found " +
                     std::to_string(message.embedding.size()));
  if (elements_ == 0) return ok();
  const Step honest{kEmbeddingToken, engine::position_digest(message.embedding, kEmbeddingToken)};
  if (message.steps.front() != honest) return violation("the digest is not that of the embedding");
  embedding_ = message.embedding;
  return ok();
}

Status Attempt::adopt_given() {
  started_ = true;
  for (const Step& step : given_)
    if (auto status = take_one(step, unknown()); !status) return status;
  return ok();
}

Status Attempt::take_one(const Step& step, Logprobs logprobs) {
  const std::size_t index = steps_.size();
  if (ended_) return violation("a step after the answer's end at " + std::to_string(index));
  if (index < given_.size()) {
    if (step.token != given_[index].token)
      return violation("another token than the one given at " + std::to_string(index));
    contradicts_given_ |= step.digest != given_[index].digest;
  }
  ended_ = matcher_.feed(step.token);
  steps_.push_back(step);
  logprobs_.push_back(std::move(logprobs));
  if (steps_.size() - hashed_ >= kHashBatch) hash_steps();
  return ok();
}

void Attempt::hash_steps() {
  for (; hashed_ < steps_.size(); ++hashed_) merkle_.add(steps_[hashed_]);
}

Status Attempt::finish(const protocol::Submission& message, std::uint32_t arithmetic_version,
                       const Digest& model, const Digest& request) {
  if (commitment_) return violation("a second submission");
  if (!message.commitment.finish) return violation("a submission without an end");
  if (!started_)
    if (auto status = adopt_given(); !status) return status;
  if (auto status = accept(message.commitment, arithmetic_version, model, request); !status) return status;
  commitment_ = message.commitment;
  cached_tokens_ = message.cached_tokens;
  return ok();
}

Status Attempt::sign(const protocol::Segment& message, std::uint32_t segment_tokens,
                     std::uint32_t arithmetic_version, const Digest& model, const Digest& request) {
  if (commitment_) return violation("a segment after the submission");
  if (message.commitment.finish) return violation("a segment with an end");
  if (fresh() == 0 || steps_.size() <= signed_ || segment_tokens == 0 || steps_.size() % segment_tokens != 0)
    return violation("a segment of " + std::to_string(steps_.size()) + " steps, which was not asked for");
  if (auto status = accept(message.commitment, arithmetic_version, model, request); !status) return status;
  signed_ = steps_.size();
  return ok();
}

Status Attempt::accept(const protocol::Commitment& made, std::uint32_t arithmetic_version,
                       const Digest& model, const Digest& request) {
  if (made.miner != miner_) return violation("the commitment names another miner");
  if (!crypto::verify(miner_, protocol::signed_bytes(made), made.signature))
    return violation("the commitment's signature is not the miner's");
  if (made.arithmetic_version != arithmetic_version)
    return violation("expected arithmetic version " + std::to_string(arithmetic_version) + ", found " +
                     std::to_string(made.arithmetic_version));
  if (made.attempt != id_) return violation("the commitment speaks of another attempt");
  if (made.model != model) return violation("the commitment speaks of another model");
  if (made.request != request) return violation("the commitment speaks of another request");
  if (made.count != steps_.size())
    return violation("the commitment covers " + std::to_string(made.count) + " positions, " +
                     std::to_string(steps_.size()) + " were sent");
  hash_steps();
  if (made.root != merkle_.root()) return violation("the commitment's root is not that of the steps sent");
  return ok();
}

std::optional<double> Attempt::tokens_per_second(Clock::time_point until) const {
  const double seconds = std::chrono::duration<double>(until - first_new_at_).count();
  if (first_new_ == 0 || steps_.size() < first_new_ + 4 || seconds <= 0) return std::nullopt;
  return static_cast<double>(steps_.size() - first_new_) / seconds;
}

}  // namespace cortensor::router
