// Making quantised files from regular weights. Nodes make them independently and must get the same file.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <span>

#include "arith/blocks.h"
#include "arith/grid_fit.h"
#include "arith/kv_cache.h"

namespace cortensor::arith {

// Spec: A16.1. 32 weights to one Q8_0 block; false if a weight is not finite or beyond binary16 scales.
inline bool quantise_weights(std::span<const float> x, BlockQ8& out) {
  return quantise_block_f16(x, out.weights, out.scale);
}

// Spec: A16.2. 32 weights to one Q4_0 block: the weight of largest magnitude (the first of equals) becomes
// -8.
inline bool quantise_weights(std::span<const float> x, BlockQ4& out) {
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

// A scale as a file keeps it; false if it does not fit.
inline bool put_scale(double value, std::uint16_t& half, double& kept) {
  half = f32_to_f16(static_cast<float>(value));
  kept = static_cast<double>(f16_to_f32(half));
  return is_finite_f16(half);
}

inline void put_bits(std::uint8_t& byte, unsigned value, std::size_t bit) {
  byte = static_cast<std::uint8_t>(byte | value << bit);
}

// Spec: A16.3, A16.4. Q5_0, Q4_1 and Q5_1: one line for 32 weights.
template <class Block>
bool quantise_line(std::span<const float> x, Block& out) {
  constexpr bool kFifth = requires {
    out.fifth;
  }
  , kOffset = requires {
    out.offset;
  };
  static constexpr Grid kGrid = kOffset ? Grid{0, kFifth ? 31 : 15} : Grid{-16, 15};
  out = {};
  const Line line = kOffset ? fit_line(x, kGrid, false) : fit_scale(x, kGrid);
  double scale = 0.0, offset = 0.0;
  bool fits = put_scale(line.scale, out.scale, scale);
  if constexpr (kOffset) fits &= put_scale(line.offset, out.offset, offset);
  const Settled settled = settle(x, scale, offset, kGrid, 1, 1);
  for (std::size_t i = 0; i < kBlock; ++i) {
    const auto u = static_cast<unsigned>(settled.q[i] - kGrid.low);
    put_bits(out.nibbles[i % 16], u & 15, i / 16 * 4);
    if constexpr (kFifth) put_bits(out.fifth[i / 8], u >> 4, i % 8);
  }
  return fits;
}
inline bool quantise_weights(std::span<const float> x, BlockQ41& out) {
  return quantise_line(x, out);
}
inline bool quantise_weights(std::span<const float> x, BlockQ50& out) {
  return quantise_line(x, out);
}
inline bool quantise_weights(std::span<const float> x, BlockQ51& out) {
  return quantise_line(x, out);
}

// The lines of the parts of a super-block, and the largest of their scales and offsets.
template <std::size_t kParts>
struct Lines {
  std::array<Line, kParts> line;
  double scale = 0.0;  // the first of largest magnitude
  double offset = 0.0;
};
template <std::size_t kParts, class Fit>
Lines<kParts> lines_of(std::span<const float> x, Fit fit) {
  Lines<kParts> out;
  for (std::size_t p = 0; p < kParts; ++p) {
    const Line& line = out.line[p] = fit(x.subspan(p * (kSuperBlock / kParts), kSuperBlock / kParts));
    if (std::fabs(line.scale) > std::fabs(out.scale)) out.scale = line.scale;
    out.offset = std::min(out.offset, line.offset);
  }
  return out;
}

// Spec: A16.5. Q4_K and Q5_K.
template <class Block>
bool quantise_offset_blocks(std::span<const float> x, Block& out) {
  constexpr bool kFifth = requires {
    out.fifth;
  };
  static constexpr Grid kGrid{0, kFifth ? 31 : 15}, kFactors{0, 63};
  out = {};
  const auto lines = lines_of<8>(x, [](std::span<const float> part) { return fit_line(part, kGrid, true); });
  double d = 0.0, e = 0.0;
  if (!put_scale(lines.scale / 63.0, out.scale, d)) return false;
  if (!put_scale(lines.offset / -63.0, out.offset_scale, e)) return false;
  for (std::size_t b = 0; b < 8; ++b) {
    const Settled s =
        settle_near(x.subspan(b * kBlock, kBlock), lines.line[b], d, -e, kGrid, kFactors, kFactors);
    const auto scale = static_cast<unsigned>(s.scale), offset = static_cast<unsigned>(s.offset);
    put_bits(out.sub[b < 4 ? b : b + 4], b < 4 ? scale : scale & 15, 0);
    put_bits(out.sub[b + 4], b < 4 ? offset : offset & 15, b < 4 ? 0 : 4);
    if (b >= 4) {
      put_bits(out.sub[b - 4], scale >> 4, 6);
      put_bits(out.sub[b], offset >> 4, 6);
    }
    for (std::size_t i = 0; i < kBlock; ++i) {
      const auto u = static_cast<unsigned>(s.q[i]);
      put_bits(out.nibbles[b / 2 * 32 + i], u & 15, b % 2 * 4);
      if constexpr (kFifth) put_bits(out.fifth[i], u >> 4, b);
    }
  }
  return true;
}
inline bool quantise_weights(std::span<const float> x, BlockQ4K& out) {
  return quantise_offset_blocks(x, out);
}
inline bool quantise_weights(std::span<const float> x, BlockQ5K& out) {
  return quantise_offset_blocks(x, out);
}

// Spec: A16.5
inline bool quantise_weights(std::span<const float> x, BlockQ6K& out) {
  static constexpr Grid kGrid{-32, 31}, kFactors{-128, 127}, kNone{0, 0};
  out = {};
  const auto lines = lines_of<16>(x, [](std::span<const float> part) { return fit_scale(part, kGrid); });
  double d = 0.0;
  if (!put_scale(lines.scale / -128.0, out.scale, d)) return false;
  for (std::size_t h = 0; h < 16; ++h) {
    const Settled s =
        settle_near(x.subspan(h * kHalfBlock, kHalfBlock), lines.line[h], d, 0.0, kGrid, kFactors, kNone);
    out.sub[h] = static_cast<std::int8_t>(s.scale);
    for (std::size_t i = 0; i < kHalfBlock; ++i) {
      const auto u = static_cast<unsigned>(s.q[i] + 32);
      const std::size_t b = h / 2, at = h % 2 * 16 + i;
      put_bits(out.nibbles[b / 4 * 64 + b % 2 * 32 + at], u & 15, b % 4 / 2 * 4);
      put_bits(out.pairs[b / 4 * 32 + at], u >> 4, b % 4 * 2);
    }
  }
  return true;
}

// Spec: A16.5
inline bool quantise_weights(std::span<const float> x, BlockQ3K& out) {
  static constexpr Grid kGrid{-4, 3}, kFactors{-32, 31}, kNone{0, 0};
  out = {};
  const auto lines = lines_of<16>(x, [](std::span<const float> part) { return fit_scale(part, kGrid); });
  double d = 0.0;
  if (!put_scale(lines.scale / -32.0, out.scale, d)) return false;
  for (std::size_t h = 0; h < 16; ++h) {
    const Settled s =
        settle_near(x.subspan(h * kHalfBlock, kHalfBlock), lines.line[h], d, 0.0, kGrid, kFactors, kNone);
    const auto scale = static_cast<unsigned>(s.scale + 32);
    put_bits(out.sub[h % 8], scale & 15, h / 8 * 4);
    put_bits(out.sub[8 + h % 4], scale >> 4, h / 4 * 2);
    for (std::size_t i = 0; i < kHalfBlock; ++i) {
      const auto u = static_cast<unsigned>(s.q[i] + 4);
      const std::size_t b = h / 2, at = h % 2 * 16 + i;
      put_bits(out.pairs[b / 4 * 32 + at], u & 3, b % 4 * 2);
      put_bits(out.third[at], u >> 2, b);
    }
  }
  return true;
}

// Spec: A16.5
inline bool quantise_weights(std::span<const float> x, BlockQ2K& out) {
  static constexpr Grid kGrid{0, 3}, kFactors{0, 15};
  out = {};
  const auto lines = lines_of<16>(x, [](std::span<const float> part) { return fit_line(part, kGrid, true); });
  double d = 0.0, e = 0.0;
  if (!put_scale(lines.scale / 15.0, out.scale, d)) return false;
  if (!put_scale(lines.offset / -15.0, out.offset_scale, e)) return false;
  for (std::size_t h = 0; h < 16; ++h) {
    const Settled s =
        settle_near(x.subspan(h * kHalfBlock, kHalfBlock), lines.line[h], d, -e, kGrid, kFactors, kFactors);
    put_bits(out.sub[h], static_cast<unsigned>(s.scale), 0);
    put_bits(out.sub[h], static_cast<unsigned>(s.offset), 4);
    for (std::size_t i = 0; i < kHalfBlock; ++i) {
      const std::size_t b = h / 2;
      put_bits(out.pairs[b / 4 * 32 + h % 2 * 16 + i], static_cast<unsigned>(s.q[i]), b % 4 * 2);
    }
  }
  return true;
}

template <class Block>
bool quantise_blocks(std::span<const float> x, std::size_t elements, std::uint8_t* out) {
  for (std::size_t i = 0; i < x.size(); i += elements, out += sizeof(Block)) {
    Block block;
    if (!quantise_weights(x.subspan(i, elements), block)) return false;
    std::memcpy(out, &block, sizeof block);
  }
  return true;
}

// Spec: A16.6. Numbers of 16 bits.
template <std::uint16_t (*narrow)(float), bool (*finite)(std::uint16_t)>
bool narrow_weights(std::span<const float> x, std::uint8_t* out) {
  for (const float value : x) {
    const std::uint16_t narrowed = narrow(value);
    if (!finite(narrowed)) return false;
    std::memcpy(out, &narrowed, sizeof narrowed);
    out += sizeof narrowed;
  }
  return true;
}

// Spec: A16. Whole blocks of any type but the native ones; false if a weight is not finite or the type does
// not hold it.
inline bool quantise_weights(WeightType type, std::span<const float> x, std::uint8_t* out) {
  if (largest_magnitude_bits(x) >= kInfinityBits) return false;
  const std::size_t elements = file_block(type).elements;
  switch (type) {
    case WeightType::q4_0:
      return quantise_blocks<BlockQ4>(x, elements, out);
    case WeightType::q4_1:
      return quantise_blocks<BlockQ41>(x, elements, out);
    case WeightType::q5_0:
      return quantise_blocks<BlockQ50>(x, elements, out);
    case WeightType::q5_1:
      return quantise_blocks<BlockQ51>(x, elements, out);
    case WeightType::q8_0:
      return quantise_blocks<BlockQ8>(x, elements, out);
    case WeightType::q2_k:
      return quantise_blocks<BlockQ2K>(x, elements, out);
    case WeightType::q3_k:
      return quantise_blocks<BlockQ3K>(x, elements, out);
    case WeightType::q4_k:
      return quantise_blocks<BlockQ4K>(x, elements, out);
    case WeightType::q5_k:
      return quantise_blocks<BlockQ5K>(x, elements, out);
    case WeightType::q6_k:
      return quantise_blocks<BlockQ6K>(x, elements, out);
    case WeightType::f32:
      std::memcpy(out, x.data(), x.size_bytes());
      return true;
    case WeightType::f16:
      return narrow_weights<f32_to_f16, is_finite_f16>(x, out);
    case WeightType::bf16:
      return narrow_weights<f32_to_bf16, is_finite_bf16>(x, out);
    case WeightType::s4:
    case WeightType::s8:
      break;
  }
  return false;
}

}  // namespace cortensor::arith
