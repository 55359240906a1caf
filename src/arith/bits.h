// Bit patterns of binary32, and rounding to an integer.
#pragma once

#include <bit>
#include <cstdint>

namespace cortensor::arith {

inline std::uint32_t bits_of(float value) {
  return std::bit_cast<std::uint32_t>(value);
}
inline float float_of(std::uint32_t bits) {
  return std::bit_cast<float>(bits);
}

// The bits of |value|; as unsigned integers they are ordered as the magnitudes are.
inline std::uint32_t magnitude_bits(float value) {
  return bits_of(value) & 0x7fffffffu;
}

// Magnitudes from here on are infinities and NaNs.
inline constexpr std::uint32_t kInfinityBits = 0x7f800000u;
inline bool is_finite(float value) {
  return magnitude_bits(value) < kInfinityBits;
}

// Spec: A1.3. The integer nearest to `value`, ties to even; |value| < 2^22. Adding 1.5 * 2^23 leaves the
// integer in the low mantissa bits.
inline std::int32_t round_to_int(float value) {
  constexpr float kMagic = 12582912.0f;
  const float shifted = value + kMagic;
  return static_cast<std::int32_t>(bits_of(shifted) - bits_of(kMagic));
}

}  // namespace cortensor::arith
