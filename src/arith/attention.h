// Attention of one query head over its cached keys and values: chunks of 64 keys, merged in order.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "arith/dot.h"
#include "arith/exp.h"
#include "arith/kv_cache.h"

namespace cortensor::arith {

inline constexpr std::size_t kChunk = 64;

// Spec: A12.1. The binary32 number nearest to 1 / sqrt(head_dim). (The two binary64 roundings before the last
// one do not change it for any multiple of 8 up to 8192; a test proves that with integers.)
inline float attention_scale(std::size_t head_dim) {
  return static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_dim)));
}

// Spec: A12.2
inline float attention_score(const QuantisedRow& query, const CachedRows& keys, std::size_t key,
                             float scale) {
  const float product = dot_of_blocks(keys.blocks(), [&](std::size_t b) {
    const std::size_t end = std::min((b + 1) * kBlock, keys.head_dim());
    std::int32_t sum = 0;
    for (std::size_t i = b * kBlock; i < end; ++i) sum += keys.row(key)[i] * query.q[i];
    const float block_scale = keys.scale(key, b) * query.scale[b];
    return BlockProduct{sum, block_scale};
  });
  return product * scale;
}

// Spec: A12.5. With binary16 keys the query is not quantised.
inline float attention_score(std::span<const float> query, const CachedRows& keys, std::size_t key,
                             float scale) {
  return dot_regular(keys.widened(key), query) * scale;
}

// Spec: A12.3. Bounded, so that no product with a weight becomes subnormal.
inline float attention_exp(float x) {
  return exp(std::max(x, -60.0f));
}

// What one chunk, or the chunks merged so far, contribute.
struct AttentionState {
  float max = 0.0f;
  float sum = 0.0f;
  std::vector<float> out;  // [head_dim]
};

// Spec: A12.3. The scores of one chunk (1 to 64 of them) with the values of keys first, first + 1, ...
inline AttentionState attend_chunk(std::span<const float> scores, const CachedRows& values,
                                   std::size_t first) {
  AttentionState chunk;
  chunk.max = *std::max_element(scores.begin(), scores.end());
  std::array<float, kChunk> p{};  // absent keys weigh +0
  for (std::size_t j = 0; j < scores.size(); ++j) p[j] = attention_exp(scores[j] - chunk.max);

  std::array<float, kChunk> t = p;
  for (std::size_t half = kChunk / 2; half >= 1; half /= 2)
    for (std::size_t j = 0; j < half; ++j) t[j] = t[j] + t[j + half];
  chunk.sum = t[0];

  chunk.out.assign(values.head_dim(), 0.0f);
  for (std::size_t j = 0; j < scores.size(); ++j) {
    for (std::size_t d = 0; d < values.head_dim(); ++d) {
      if (values.type() == CacheType::f16) {  // A12.5
        chunk.out[d] = std::fma(p[j], values.widened(first + j)[d], chunk.out[d]);
        continue;
      }
      const float weight = p[j] * values.scale(first + j, d / kBlock);
      chunk.out[d] = std::fma(weight, static_cast<float>(values.row(first + j)[d]), chunk.out[d]);
    }
  }
  // A12.5. Absent keys may be added with weight +0 or left out: that could only change the sign of a zero.
  if (values.type() == CacheType::f16)
    for (float& out : chunk.out) out = out + 0.0f;
  return chunk;
}

// Spec: A12.4
inline void merge_chunk(AttentionState& all, const AttentionState& chunk) {
  const float max = std::max(all.max, chunk.max);
  const float a = attention_exp(all.max - max);
  const float b = attention_exp(chunk.max - max);
  const float chunk_sum = chunk.sum * b;
  all.sum = std::fma(all.sum, a, chunk_sum);
  for (std::size_t d = 0; d < all.out.size(); ++d) {
    const float chunk_out = chunk.out[d] * b;
    all.out[d] = std::fma(all.out[d], a, chunk_out);
  }
  all.max = max;
}

// Spec: A12. query, out: [head_dim]. Attends to keys 0 .. count-1, count >= 1. Returns false if the query or
// a score is not finite; out is then meaningless.
inline bool attend(std::span<const float> query, const CachedRows& keys, const CachedRows& values,
                   std::size_t count, std::span<float> out) {
  QuantisedRow quantised;
  if (keys.type() == CacheType::int8 && !quantise_row(query, quantised)) return false;
  const float scale = attention_scale(keys.head_dim());
  AttentionState all;
  for (std::size_t first = 0; first < count; first += kChunk) {
    std::vector<float> scores(std::min(kChunk, count - first));
    for (std::size_t j = 0; j < scores.size(); ++j) {
      scores[j] = keys.type() == CacheType::int8 ? attention_score(quantised, keys, first + j, scale)
                                                 : attention_score(query, keys, first + j, scale);
      if (!is_finite(scores[j])) return false;
    }
    AttentionState chunk = attend_chunk(scores, values, first);
    if (first == 0)
      all = std::move(chunk);
    else
      merge_chunk(all, chunk);
  }
  const float inverse = 1.0f / all.sum;
  for (std::size_t d = 0; d < out.size(); ++d) out[d] = all.out[d] * inverse;
  return true;
}

}  // namespace cortensor::arith
