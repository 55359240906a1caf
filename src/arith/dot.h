// Products of a weight row with an activation row: exact integers inside a block, one fma per block, segments
// of 512 elements added in order.
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

// Spec: A5. The rule of every product of int8 values. block(b) gives {exact integer sum, scale product} of
// block b.
template <class BlockSum>
float dot_of_blocks(std::size_t blocks, BlockSum block) {
  constexpr std::size_t kBlocksPerSegment = kSegment / kBlock;
  float total = 0.0f;
  for (std::size_t begin = 0; begin < blocks; begin += kBlocksPerSegment) {
    float acc = 0.0f;
    for (std::size_t b = begin; b < blocks && b < begin + kBlocksPerSegment; ++b) {
      const auto [sum, scale] = block(b);
      acc = std::fma(static_cast<float>(sum), scale, acc);
    }
    total = add_segment(total, acc, begin == 0);
  }
  return total;
}

struct BlockProduct {
  std::int32_t sum;
  float scale;
};

// Spec: A5.1. |sum| <= 32 * 128 * 127 < 2^22, so its conversion to binary32 is exact.
template <class Block>
BlockProduct block_product(const Block& w, const std::int8_t* q, float q_scale) {
  std::int32_t sum = 0;
  for (std::size_t i = 0; i < kBlock; ++i) sum += weight_of(w, i) * q[i];
  const float scale = f16_to_f32(w.scale) * q_scale;
  return {sum, scale};
}

// Spec: A5. Block is BlockQ8 or BlockQ4; `row` holds x.scale.size() blocks.
template <class Block>
float dot_quantised(const std::uint8_t* row, const QuantisedRow& x) {
  return dot_of_blocks(x.scale.size(), [&](std::size_t b) {
    return block_product(read_at<Block>(row, b), &x.q[b * kBlock], x.scale[b]);
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
