#include "engine/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
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

// Ascending ranks are descending logits; the two zeros rank equal.
std::uint32_t rank_of(float logit) {
  const std::uint32_t bits = arith::bits_of(logit + 0.0f);
  return (bits & 0x80000000u) != 0 ? bits : ~(bits | 0x80000000u);
}

struct Largest {
  float logit = 0.0f;
  TokenId token = 0;
  bool finite = true;
};

Largest find_largest(std::span<const float> logits) {
  Largest largest{logits[0], 0, true};
  bool not_finite = false;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    not_finite |= arith::magnitude_bits(logits[i]) >= arith::kInfinityBits;
    if (logits[i] > largest.logit) {
      largest.logit = logits[i];
      largest.token = static_cast<TokenId>(i);
    }
  }
  largest.finite = !not_finite;
  return largest;
}

std::optional<TokenId> best_allowed(std::span<const float> logits, const TokenMask& allowed) {
  std::optional<TokenId> best;
  allowed.each([&](TokenId token) {
    if (!best || logits[token] > logits[*best]) best = token;
  });
  return best;
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
  const std::span<const float> logits = adjuster_.adjust(raw, sampling, so_far);
  Largest largest = find_largest(logits);
  if (!largest.finite) return fail(ErrorKind::internal, "sampling: a logit is not finite");
  if (allowed != nullptr) {
    const std::optional<TokenId> best = best_allowed(logits, *allowed);
    if (!best)
      return fail(ErrorKind::unsupported, "grammar: no token of the vocabulary can continue this answer");
    largest = {logits[*best], *best};
  }
  if (sampling.temperature == 0.0f) return largest.token;
  if (allowed != nullptr)
    gather(logits, largest.logit, sampling.temperature, *allowed);
  else
    gather(logits, largest.logit, sampling.temperature);
  order(sampling.top_k);
  return choose(sampling, arith::uniform_at(sampling.seed, position));
}

// The candidates that can matter, by rising token id.
void Sampler::gather(std::span<const float> logits, float largest, float temperature) {
  const float farthest = -kReach * temperature;
  candidates_.resize(logits.size());
  std::size_t count = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const float distance = logits[i] - largest;
    candidates_[count] = {rank_of(logits[i]), static_cast<TokenId>(i), distance};
    count += distance >= farthest ? 1 : 0;
  }
  candidates_.resize(count);
}

void Sampler::gather(std::span<const float> logits, float largest, float temperature,
                     const TokenMask& allowed) {
  const float farthest = -kReach * temperature;
  candidates_.clear();
  allowed.each([&](TokenId token) {
    const float distance = logits[token] - largest;
    if (distance >= farthest) candidates_.push_back({rank_of(logits[token]), token, distance});
  });
}

// By falling logit, equal ones by rising id; with top_k, only the first of them.
void Sampler::order(std::size_t top_k) {
  const auto before = [](const Candidate& a, const Candidate& b) {
    return a.rank != b.rank ? a.rank < b.rank : a.token < b.token;
  };
  if (top_k > 0 && top_k < candidates_.size()) {
    std::nth_element(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(top_k),
                     candidates_.end(), before);
    candidates_.resize(top_k);
    std::sort(candidates_.begin(), candidates_.end(), before);
    return;
  }
  if (candidates_.size() < kRadixFrom) return std::sort(candidates_.begin(), candidates_.end(), before);
  // Stable passes over the rank keep the rising ids of equal logits.
  scratch_.resize(candidates_.size());
  for (const int shift : {0, 11, 22}) {
    std::array<std::uint32_t, 2049> begin{};
    for (const Candidate& candidate : candidates_) ++begin[((candidate.rank >> shift) & 2047) + 1];
    for (std::size_t digit = 1; digit < begin.size(); ++digit) begin[digit] += begin[digit - 1];
    for (const Candidate& candidate : candidates_)
      scratch_[begin[(candidate.rank >> shift) & 2047]++] = candidate;
    candidates_.swap(scratch_);
  }
}

TokenId Sampler::choose(const Sampling& sampling, float u) {
  const std::size_t count = candidates_.size();
  distances_.resize(count);
  weights_.resize(count);
  for (std::size_t i = 0; i < count; ++i) distances_[i] = candidates_[i].distance;
  exp_of_quotients(distances_, sampling.temperature, weights_);

  std::span<const float> kept(weights_);
  const auto sum_of_kept = [&kept] {
    float sum = 0.0f;
    for (const float weight : kept) sum = sum + weight;
    return sum;
  };
  if (sampling.top_p < 1.0f) {
    const float wanted = sampling.top_p * sum_of_kept();
    std::size_t length = 0;
    float sum = 0.0f;
    while (length < kept.size() && (length == 0 || sum < wanted)) sum = sum + kept[length++];
    kept = kept.first(length);
  }
  if (sampling.min_p > 0.0f) {
    const float least = sampling.min_p * kept[0];
    std::size_t length = 0;
    while (length < kept.size() && kept[length] >= least) ++length;
    kept = kept.first(length);
  }
  const float target = u * sum_of_kept();
  float sum = 0.0f;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    sum = sum + kept[i];
    if (sum > target) return candidates_[i].token;
  }
  return candidates_[kept.size() - 1].token;
}

}  // namespace cortensor::engine
