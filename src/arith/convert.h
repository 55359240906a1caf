// binary16 and bfloat16: widening is exact, narrowing rounds once.
#pragma once

#include <cstdint>

#include "arith/bits.h"

namespace cortensor::arith {

// Spec: A3.1. Exact for every finite value, subnormals included.
inline float f16_to_f32(std::uint16_t half) {
  const std::uint32_t sign = (half & 0x8000u) << 16;
  const std::uint32_t exponent = (half >> 10) & 0x1fu;
  const std::uint32_t mantissa = half & 0x3ffu;
  if (exponent == 0x1f) return float_of(sign | kInfinityBits | mantissa << 13);
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return float_of(sign | bits_of(magnitude));
  }
  return float_of(sign | (exponent + 112) << 23 | mantissa << 13);
}

// Spec: A3.2. Round to nearest even; magnitudes from 65520 on become infinity; a NaN becomes a quiet NaN.
inline std::uint16_t f32_to_f16(float value) {
  const std::uint32_t sign = (bits_of(value) >> 16) & 0x8000u;
  const std::uint32_t magnitude = magnitude_bits(value);
  if (magnitude > kInfinityBits) return static_cast<std::uint16_t>(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) return static_cast<std::uint16_t>(sign | 0x7c00u);
  if (magnitude < 0x38800000u) {  // below 2^-14: the result is a multiple of 2^-24
    const float units = float_of(magnitude) * 0x1p24f;
    const float rounded = units + 8388608.0f;
    return static_cast<std::uint16_t>(sign | (bits_of(rounded) - 0x4b000000u));
  }
  const std::uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<std::uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

// Spec: A3.3. Exact.
inline float bf16_to_f32(std::uint16_t value) {
  return float_of(static_cast<std::uint32_t>(value) << 16);
}

// Spec: A3.4. Round to nearest even; a NaN becomes a quiet NaN.
inline std::uint16_t f32_to_bf16(float value) {
  const std::uint32_t bits = bits_of(value);
  if (magnitude_bits(value) > kInfinityBits) return static_cast<std::uint16_t>(bits >> 16 | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

inline bool is_finite_f16(std::uint16_t half) {
  return (half & 0x7c00u) != 0x7c00u;
}
inline bool is_finite_bf16(std::uint16_t value) {
  return (value & 0x7f80u) != 0x7f80u;
}

}  // namespace cortensor::arith
