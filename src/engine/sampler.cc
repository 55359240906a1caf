#include "engine/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>

#include "arith/bits.h"
#include "arith/philox.h"

namespace cortensor::engine {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();  // the logit of what is not allowed

// The bits of a float as an integer that is in the same order, and back. Of integers the largest is found
// several at a time.
std::int32_t turned(std::int32_t bits) {
  return bits ^ (bits >> 31 & 0x7fffffff);
}
float largest_of(std::span<const float> logits) {
  std::int32_t largest = turned(std::bit_cast<std::int32_t>(kNever));
  for (const float logit : logits) largest = std::max(largest, turned(std::bit_cast<std::int32_t>(logit)));
  return std::bit_cast<float>(turned(largest));
}

bool all_finite(std::span<const float> logits) {
  std::uint32_t largest = 0;
  for (const float logit : logits) largest = std::max(largest, arith::magnitude_bits(logit));
  return largest < arith::kInfinityBits;
}

// The n-th token, from 0, with this logit.
TokenId token_with(std::span<const float> logits, float logit, std::size_t n) {
  auto at = std::find(logits.begin(), logits.end(), logit);
  for (; n > 0; --n) at = std::find(at + 1, logits.end(), logit);
  return static_cast<TokenId>(at - logits.begin());
}

}  // namespace

Status check_sampling(const Sampling& sampling, std::size_t vocab_size) {
  const auto refuse = [](std::string_view name, std::string_view range, float found) {
    return fail(ErrorKind::invalid_input,
                std::string(name) + ": expected " + std::string(range) + ", found " + std::to_string(found));
  };
  // Written so that a NaN fails each of them.
  if (!(sampling.temperature >= 0.0f && std::isfinite(sampling.temperature)))
    return refuse("temperature", "a finite number, not negative", sampling.temperature);
  if (!(sampling.top_p > 0.0f && sampling.top_p <= 1.0f))
    return refuse("top_p", "a number above 0, at most 1", sampling.top_p);
  if (!(sampling.min_p >= 0.0f && sampling.min_p < 1.0f))
    return refuse("min_p", "a number from 0, below 1", sampling.min_p);
  if (!(sampling.repetition_penalty > 0.0f && sampling.repetition_penalty <= kMaxRepetitionPenalty))
    return refuse("repetition_penalty", "a number above 0 and at most 10", sampling.repetition_penalty);
  if (!(std::abs(sampling.presence_penalty) <= kMaxPenalty))
    return refuse("presence_penalty", "a number from -2 to 2", sampling.presence_penalty);
  if (!(std::abs(sampling.frequency_penalty) <= kMaxPenalty))
    return refuse("frequency_penalty", "a number from -2 to 2", sampling.frequency_penalty);
  if (sampling.logit_bias.size() > kMaxLogitBiases)
    return fail(ErrorKind::invalid_input,
                "logit_bias: expected at most " + std::to_string(kMaxLogitBiases) + " tokens");
  for (std::size_t i = 0; i < sampling.logit_bias.size(); ++i) {
    const LogitBias& one = sampling.logit_bias[i];
    if (!(std::abs(one.bias) <= kMaxLogitBias))
      return refuse("logit_bias", "numbers from -100 to 100", one.bias);
    if (i > 0 && one.token <= sampling.logit_bias[i - 1].token)
      return fail(ErrorKind::invalid_input, "logit_bias: expected rising tokens");
    if (one.token >= vocab_size)
      return fail(ErrorKind::invalid_input, "logit_bias: token " + std::to_string(one.token) +
                                                " is outside the vocabulary of " +
                                                std::to_string(vocab_size));
  }
  return ok();
}

Result<TokenId> Sampler::sample(std::span<const float> raw, const Sampling& sampling, std::uint32_t position,
                                const TokensSoFar& so_far, const TokenMask* allowed) {
  if (raw.empty()) return fail(ErrorKind::internal, "sampling: no logits");
  std::span<const float> logits = adjuster_.adjust(raw, sampling, so_far);
  if (!all_finite(logits)) return fail(ErrorKind::internal, "sampling: a logit is not finite");
  if (allowed != nullptr) logits = limit(logits, *allowed);
  const float largest = largest_of(logits);
  if (largest == kNever)
    return fail(ErrorKind::unsupported, "grammar: no token of the vocabulary can continue this answer");
  if (sampling.temperature == 0.0f) return token_with(logits, largest, 0);
  weights_.set(logits, largest, sampling.temperature, sampling.top_k);
  const OrderedWeights::Which which =
      weights_.at(choose(sampling, arith::uniform_at(sampling.seed, position)));
  return token_with(logits, which.logit, which.equal);
}

std::span<const float> Sampler::limit(std::span<const float> logits, const TokenMask& allowed) {
  limited_.assign(logits.size(), kNever);
  allowed.each([&](TokenId token) { limited_[token] = logits[token]; });
  return limited_;
}

// A14.5 to A14.7: a place. The first weight is 1.
std::size_t Sampler::choose(const Sampling& sampling, float u) {
  std::size_t kept = weights_.count();
  if (sampling.top_p < 1.0f) {
    const float wanted = sampling.top_p * weights_.sum_at(kept - 1);
    kept = std::min(kept, weights_.first_sum([wanted](float sum) { return sum >= wanted; }) + 1);
  }
  if (sampling.min_p > 0.0f) kept = std::min(kept, weights_.first_below(sampling.min_p));
  const float target = u * weights_.sum_at(kept - 1);
  return std::min(kept - 1, weights_.first_sum([target](float sum) { return sum > target; }));
}

}  // namespace cortensor::engine
