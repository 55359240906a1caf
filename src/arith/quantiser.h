// Activations to int8 with one scale per 32 elements, on the way into a product with quantised weights.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "arith/bits.h"
#include "arith/blocks.h"

namespace cortensor::arith {

// Blocks whose largest magnitude is below 2^-64 become zero, so that no later product can be subnormal.
inline constexpr std::uint32_t kQuantiserThresholdBits = 0x1f800000u;

inline std::uint32_t largest_magnitude_bits(std::span<const float> x) {
  std::uint32_t largest = 0;
  for (const float value : x) largest = std::max(largest, magnitude_bits(value));
  return largest;
}

// Spec: A4. Quantises one block of at most 32 values. Returns false, with a zero block, if a value is not
// finite.
inline bool quantise_block(std::span<const float> x, std::int8_t* q, float& scale) {
  const std::uint32_t largest = largest_magnitude_bits(x);
  const bool finite = largest < kInfinityBits;
  if (!finite || largest < kQuantiserThresholdBits) {
    scale = 0.0f;
    std::fill_n(q, x.size(), std::int8_t{0});
    return finite;
  }
  const float amax = float_of(largest);
  scale = amax / 127.0f;
  const float inverse = 127.0f / amax;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float scaled = x[i] * inverse;
    q[i] = static_cast<std::int8_t>(round_to_int(scaled));
  }
  return true;
}

// A row of quantised activations: q[i] belongs to scale[i / 32].
struct QuantisedRow {
  std::vector<std::int8_t> q;
  std::vector<float> scale;
};

// Spec: A4. The last block may be short. Returns false if any value is not finite.
inline bool quantise_row(std::span<const float> x, QuantisedRow& out) {
  out.q.assign(x.size(), 0);
  out.scale.assign((x.size() + kBlock - 1) / kBlock, 0.0f);
  bool finite = true;
  for (std::size_t b = 0; b < out.scale.size(); ++b) {
    const auto block = x.subspan(b * kBlock, std::min(kBlock, x.size() - b * kBlock));
    finite &= quantise_block(block, &out.q[b * kBlock], out.scale[b]);
  }
  return finite;
}

}  // namespace cortensor::arith
