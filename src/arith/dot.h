// Products of a weight row with an activation row: exact integers inside a block, one fma per block and
// offset, segments of 512 elements added in order.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "arith/blocks.h"
#include "arith/quantiser.h"

namespace cortensor::arith {

// Spec: A5.2. Adds one finished segment to the running total, in segment order.
inline float add_segment(float total, float segment, bool first) {
  return first ? segment : total + segment;
}

// Spec: A5.2. step(acc, b) adds block b to the sum of its segment.
template <class Step>
float sum_of_segments(std::size_t blocks, Step step) {
  constexpr std::size_t kBlocksPerSegment = kSegment / kBlock;
  float total = 0.0f;
  for (std::size_t begin = 0; begin < blocks; begin += kBlocksPerSegment) {
    float acc = 0.0f;
    for (std::size_t b = begin; b < blocks && b < begin + kBlocksPerSegment; ++b) acc = step(acc, b);
    total = add_segment(total, acc, begin == 0);
  }
  return total;
}

struct BlockProduct {
  std::int32_t sum;
  float scale;
};

// Spec: A5.2. Products of int8 values. block(b) gives the exact integer sum and the scale of block b.
template <class BlockSum>
float dot_of_blocks(std::size_t blocks, BlockSum block) {
  return sum_of_segments(blocks, [&](float acc, std::size_t b) {
    const auto [sum, scale] = block(b);
    return std::fma(static_cast<float>(sum), scale, acc);
  });
}

// Spec: A5.1. Adds one block to the sum of its segment. |sum| < 2^24: its conversion to binary32 is exact.
inline float add_block(float acc, const SumBlock& w, const std::int8_t* q, float q_scale) {
  std::int32_t sum = 0;
  std::int32_t q_sum[2] = {};
  for (std::size_t i = 0; i < kBlock; ++i) {
    sum += w.sub[i / kHalfBlock] * w.weights[i] * q[i];
    q_sum[i / kHalfBlock] += q[i];
  }
  const float scale = w.scale * q_scale;
  acc = std::fma(static_cast<float>(sum), scale, acc);
  if (w.groups == 1) q_sum[0] += q_sum[1];
  for (int g = 0; g < w.groups; ++g) {
    const float inputs = static_cast<float>(q_sum[g]) * q_scale;
    acc = std::fma(inputs, w.offset[g], acc);
  }
  return acc;
}

// Spec: A5. `row` holds x.scale.size() blocks of a quantised type.
inline float dot_quantised(WeightType type, const std::uint8_t* row, const QuantisedRow& x) {
  return sum_of_segments(x.scale.size(), [&](float acc, std::size_t b) {
    return add_block(acc, sum_block(type, row, b), &x.q[b * kBlock], x.scale[b]);
  });
}

// Spec: A6. Regular weights, widened exactly: one fma per element, in order. x is not quantised.
inline float dot_regular(std::span<const float> w, std::span<const float> x) {
  float total = 0.0f;
  for (std::size_t begin = 0; begin < x.size(); begin += kSegment) {
    float acc = 0.0f;
    for (std::size_t k = begin; k < x.size() && k < begin + kSegment; ++k) acc = std::fma(w[k], x[k], acc);
    total = add_segment(total, acc, begin == 0);
  }
  return total;
}

}  // namespace cortensor::arith
