#include "engine/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "arith/bits.h"
#include "arith/philox.h"
#include "engine/exp_row.h"

namespace cortensor::engine {
namespace {

// Weights below 2^-24 never change a sum that begins with the largest weight, exactly 1: half a unit in the
// last place of such a sum is at least 2^-24. exp(-17) is below it, so candidates further away than this many
// temperatures can neither be chosen nor move a limit; the margin covers the rounding of the product.
constexpr float kReach = 17.1f;

constexpr std::size_t kRadixFrom = 512;  // fewer candidates are sorted by comparison

constexpr float kNever = -std::numeric_limits<float>::infinity();  // the logit of what is not allowed

// The bits of floats that are not negative, upside down: then ascending words are descending floats. Its own
// inverse, and no branch, which random signs would make slow.
std::uint32_t turned(std::uint32_t bits) {
  return bits ^ (((bits >> 31) - 1) & 0x7fffffffu);
}
// The two zeros rank equal.
std::uint32_t rank_of(float logit) {
  return turned(arith::bits_of(logit + 0.0f));
}
float logit_of(std::uint32_t rank) {
  return arith::float_of(turned(rank));
}

bool all_finite(std::span<const float> logits) {
  std::uint32_t largest = 0;
  for (const float logit : logits) largest = std::max(largest, arith::magnitude_bits(logit));
  return largest < arith::kInfinityBits;
}

float largest_of(std::span<const float> logits) {
  std::uint32_t least = ~0u;
  for (const float logit : logits) least = std::min(least, rank_of(logit));
  return logit_of(least);
}

// The n-th token, from 0, with this logit.
TokenId token_with(std::span<const float> logits, float logit, std::size_t n) {
  auto at = std::find(logits.begin(), logits.end(), logit);
  for (; n > 0; --n) at = std::find(at + 1, logits.end(), logit);
  return static_cast<TokenId>(at - logits.begin());
}

// Drops values that are not among the `count` smallest; `count` is less than there are.
void keep_smallest(std::vector<std::uint32_t>& values, std::size_t count) {
  constexpr int kShift = 21;
  std::array<std::uint32_t, std::size_t{1} << (32 - kShift)> held{};  // by leading bits
  for (const std::uint32_t value : values) ++held[value >> kShift];
  std::uint32_t leading = 0;
  for (std::size_t sum = held[0]; sum < count; sum += held[leading]) ++leading;
  std::erase_if(values, [&](std::uint32_t value) { return value >> kShift > leading; });
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(count - 1), values.end());
  values.resize(count);
}

void radix_sort(std::vector<std::uint32_t>& values, std::vector<std::uint32_t>& scratch) {
  constexpr std::size_t kDigits = 3, kBits = 11, kValues = std::size_t{1} << kBits;
  const auto digit = [](std::uint32_t value, std::size_t d) { return value >> kBits * d & (kValues - 1); };
  std::array<std::array<std::uint32_t, kValues>, kDigits> places{};
  for (const std::uint32_t value : values)
    for (std::size_t d = 0; d < kDigits; ++d) ++places[d][digit(value, d)];
  scratch.resize(values.size());
  for (std::size_t d = 0; d < kDigits; ++d) {
    std::exclusive_scan(places[d].begin(), places[d].end(), places[d].begin(), 0u);
    for (const std::uint32_t value : values) scratch[places[d][digit(value, d)]++] = value;
    values.swap(scratch);
  }
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
  gather(logits, largest, sampling.temperature);
  order(sampling.top_k);
  weigh(largest, sampling.temperature);
  const std::size_t chosen = choose(sampling, arith::uniform_at(sampling.seed, position));
  const auto equal = std::lower_bound(ranks_.begin(), ranks_.end(), ranks_[chosen]) - ranks_.begin();
  return token_with(logits, logit_of(ranks_[chosen]), chosen - static_cast<std::size_t>(equal));
}

std::span<const float> Sampler::limit(std::span<const float> logits, const TokenMask& allowed) {
  limited_.assign(logits.size(), kNever);
  allowed.each([&](TokenId token) { limited_[token] = logits[token]; });
  return limited_;
}

// The candidates that can matter.
void Sampler::gather(std::span<const float> logits, float largest, float temperature) {
  const float farthest = -kReach * temperature;
  ranks_.resize(logits.size());
  std::size_t count = 0;
  for (const float logit : logits) {
    ranks_[count] = rank_of(logit);
    count += logit - largest >= farthest ? 1 : 0;
  }
  ranks_.resize(count);
}

// By falling logit; with top_k, only the first of them.
void Sampler::order(std::size_t top_k) {
  if (top_k > 0 && top_k < ranks_.size()) keep_smallest(ranks_, top_k);
  if (ranks_.size() < kRadixFrom)
    std::sort(ranks_.begin(), ranks_.end());
  else
    radix_sort(ranks_, scratch_);
}

void Sampler::weigh(float largest, float temperature) {
  const std::size_t count = ranks_.size();
  weights_.resize(count);
  sums_.resize(count);
  for (std::size_t i = 0; i < count; ++i) weights_[i] = logit_of(ranks_[i]) - largest;
  exp_of_quotients(weights_, temperature);
  float sum = 0.0f;
  for (std::size_t i = 0; i < count; ++i) sums_[i] = sum = sum + weights_[i];
}

// Which of the candidates. Their sums never fall.
std::size_t Sampler::choose(const Sampling& sampling, float u) const {
  std::size_t kept = sums_.size();
  const auto end = [&] { return sums_.begin() + static_cast<std::ptrdiff_t>(kept); };
  const auto place = [&](auto found) { return static_cast<std::size_t>(found - sums_.begin()); };
  if (sampling.top_p < 1.0f)
    kept = std::min(kept, place(std::lower_bound(sums_.begin(), end(), sampling.top_p * sums_.back())) + 1);
  if (sampling.min_p > 0.0f) {
    const float least = sampling.min_p * weights_[0];
    std::size_t length = 0;
    while (length < kept && weights_[length] >= least) ++length;
    kept = length;
  }
  return std::min(kept - 1, place(std::upper_bound(sums_.begin(), end(), u * sums_[kept - 1])));
}

}  // namespace cortensor::engine
