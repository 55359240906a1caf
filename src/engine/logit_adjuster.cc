#include "engine/logit_adjuster.h"

namespace cortensor::engine {
namespace {

constexpr std::uint32_t kSeen = 1u << 31;  // the token was listed; the count is in the bits below

}  // namespace

std::span<const float> LogitAdjuster::adjust(std::span<const float> logits, const Sampling& sampling,
                                             const TokensSoFar& so_far) {
  const bool penalised = sampling.repetition_penalty != 1.0f || sampling.presence_penalty != 0.0f ||
                         sampling.frequency_penalty != 0.0f;
  if (!penalised && sampling.logit_bias.empty()) return logits;
  adjusted_.assign(logits.begin(), logits.end());
  if (penalised) penalise(sampling, so_far);
  for (const LogitBias& one : sampling.logit_bias) adjusted_[one.token] = adjusted_[one.token] + one.bias;
  return adjusted_;
}

void LogitAdjuster::penalise(const Sampling& sampling, const TokensSoFar& so_far) {
  counts_.resize(adjusted_.size(), 0);
  seen_.clear();
  const auto list = [this](TokenId token) {
    if ((counts_[token] & kSeen) != 0) return;
    counts_[token] |= kSeen;
    seen_.push_back(token);
  };
  if (sampling.repetition_penalty != 1.0f)
    for (const TokenId token : so_far.prompt) list(token);
  for (const TokenId token : so_far.answer) {
    list(token);
    ++counts_[token];
  }
  for (const TokenId token : seen_) {
    const std::uint32_t count = counts_[token] & ~kSeen;
    float& logit = adjusted_[token];
    if (sampling.repetition_penalty != 1.0f)
      logit = logit > 0.0f ? logit / sampling.repetition_penalty : logit * sampling.repetition_penalty;
    if (count > 0) {
      const float total = static_cast<float>(count) * sampling.frequency_penalty;
      logit = logit - total;
      logit = logit - sampling.presence_penalty;
    }
    counts_[token] = 0;
  }
}

}  // namespace cortensor::engine
