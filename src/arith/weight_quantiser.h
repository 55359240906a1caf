// Making quantised files from regular weights. Nodes make them independently and must get the same file.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>

#include "arith/blocks.h"
#include "arith/kv_cache.h"

namespace cortensor::arith {

// Spec: A16.1. 32 weights to one Q8_0 block; false if a weight is not finite or beyond binary16 scales.
inline bool quantise_weights(std::span<const float, kBlock> x, BlockQ8& out) {
  return quantise_block_f16(x, out.weights, out.scale);
}

// Spec: A16.2. 32 weights to one Q4_0 block: the weight of largest magnitude (the first of equals) becomes
// -8.
inline bool quantise_weights(std::span<const float, kBlock> x, BlockQ4& out) {
  out = {};
  for (auto& pair : out.nibbles) pair = 0x88;
  float extreme = 0.0f;
  for (const float value : x) {
    if (!is_finite(value)) return false;
    if (magnitude_bits(value) > magnitude_bits(extreme)) extreme = value;
  }
  const float exact_scale = extreme / -8.0f;
  const std::uint16_t scale = f32_to_f16(exact_scale);
  if (!is_finite_f16(scale)) return false;
  if ((scale & 0x7fffu) == 0) return true;
  out.scale = scale;
  const float inverse = 1.0f / f16_to_f32(scale);
  for (std::size_t i = 0; i < kBlock / 2; ++i) {
    const auto nibble = [&](float value) {
      const float scaled = value * inverse;
      return static_cast<unsigned>(std::clamp(round_to_int(scaled), -8, 7) + 8);
    };
    out.nibbles[i] = static_cast<std::uint8_t>(nibble(x[i]) | nibble(x[i + 16]) << 4);
  }
  return true;
}

}  // namespace cortensor::arith
