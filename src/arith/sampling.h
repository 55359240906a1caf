// From logits to a token. Every order and every sum is fixed, so the same logits give the same token
// everywhere.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "arith/exp.h"
#include "arith/philox.h"
#include "arith/rope.h"

namespace cortensor::arith {

struct SamplingRule {
  float temperature = 0.0f;  // finite, >= 0; 0 takes the first of the largest logits
  float top_p = 1.0f;        // (0, 1]
  float min_p = 0.0f;        // [0, 1)
  std::uint32_t top_k = 0;   // 0 keeps all
};

// Spec: A14.3. Token ids by falling logit, equal logits by rising id.
inline std::vector<std::uint32_t> ranked(std::span<const float> logits) {
  std::vector<std::uint32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0u);
  std::sort(ids.begin(), ids.end(), [&](std::uint32_t a, std::uint32_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  });
  return ids;
}

struct Bias {
  std::uint32_t token = 0;
  float bias = 0.0f;
};

struct AdjustmentRule {
  float repetition = 1.0f;  // > 0
  float presence = 0.0f;
  float frequency = 0.0f;
  std::span<const Bias> biases;  // no token twice
};

// Spec: A14.2. prompt, answer: the tokens before the position that is being chosen.
inline std::vector<float> adjusted(std::span<const float> logits, const AdjustmentRule& rule,
                                   std::span<const std::uint32_t> prompt,
                                   std::span<const std::uint32_t> answer) {
  std::vector<std::uint32_t> count(logits.size(), 0);
  for (const std::uint32_t token : answer) ++count[token];
  std::vector<bool> seen(logits.size(), false);
  for (const std::uint32_t token : prompt) seen[token] = true;

  std::vector<float> out(logits.begin(), logits.end());
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (rule.repetition != 1.0f && (seen[i] || count[i] > 0))
      out[i] = out[i] > 0.0f ? out[i] / rule.repetition : out[i] * rule.repetition;
    if (count[i] == 0) continue;
    const float total = static_cast<float>(count[i]) * rule.frequency;
    out[i] = out[i] - total;
    out[i] = out[i] - rule.presence;
  }
  for (const Bias& one : rule.biases) out[one.token] = out[one.token] + one.bias;
  return out;
}

// The running sum in order, one rounding per addition.
inline float sum_in_order(std::span<const float> p) {
  float sum = 0.0f;
  for (const float value : p) sum = sum + value;
  return sum;
}

// Spec: A14.8. weights: the sum over all tokens.
inline float log_probability(float logit, float largest, double weights) {
  const double distance = static_cast<double>(logit) - static_cast<double>(largest);
  return static_cast<float>(distance - log64(weights));
}

// Spec: A14.8. The sum of the weights of all tokens, by rising id.
inline double weight_of_all(std::span<const float> logits, float largest) {
  double sum = 0.0;
  for (const float logit : logits) {
    const float distance = logit - largest;
    sum = sum + static_cast<double>(exp(distance));
  }
  return sum;
}

// Spec: A14. logits: adjusted, finite, not empty. u: uniform_at() of the position being chosen.
// allowed: one flag per token; empty allows all, otherwise at least one is allowed.
inline std::uint32_t sample(std::span<const float> logits, const SamplingRule& rule, float u,
                            const std::vector<bool>& allowed = {}) {
  std::vector<std::uint32_t> ids = ranked(logits);
  if (!allowed.empty()) std::erase_if(ids, [&](std::uint32_t id) { return !allowed[id]; });
  if (rule.temperature == 0.0f) return ids[0];
  if (rule.top_k > 0 && rule.top_k < ids.size()) ids.resize(rule.top_k);

  // Spec: A14.4
  std::vector<float> p;
  for (const std::uint32_t id : ids) {
    const float distance = logits[id] - logits[ids[0]];
    const float scaled = distance / rule.temperature;
    p.push_back(exp(scaled));
  }
  // Spec: A14.5
  if (rule.top_p < 1.0f) {
    const float wanted = rule.top_p * sum_in_order(p);
    std::size_t kept = 0;
    float sum = 0.0f;
    while (kept < p.size() && (kept == 0 || sum < wanted)) sum = sum + p[kept++];
    p.resize(kept);
  }
  // Spec: A14.6
  if (rule.min_p > 0.0f) {
    const float least = rule.min_p * p[0];
    std::size_t kept = 0;
    while (kept < p.size() && p[kept] >= least) ++kept;
    p.resize(kept);
  }
  // Spec: A14.7
  const float target = u * sum_in_order(p);
  float sum = 0.0f;
  for (std::size_t i = 0; i < p.size(); ++i) {
    sum = sum + p[i];
    if (sum > target) return ids[i];
  }
  return ids[p.size() - 1];
}

}  // namespace cortensor::arith
