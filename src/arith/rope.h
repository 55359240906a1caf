// Rotary position embedding. Frequencies, sines and cosines are made here in binary64 from nothing but
// correctly rounded operations, so that no platform's mathematical library can change a bit.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

namespace cortensor::arith {

// Spec: A10.1. Natural logarithm of a finite x >= 1, within a few units in the last place.
inline double log64(double x) {
  const std::uint64_t bits = std::bit_cast<std::uint64_t>(x);
  auto exponent = static_cast<double>(static_cast<std::int64_t>(bits >> 52) - 1023);
  double m = std::bit_cast<double>((bits & 0x000fffffffffffffu) | 0x3ff0000000000000u);  // [1, 2)
  if (m > 0x1.6a09e667f3bcdp+0) {                                                        // sqrt(2)
    m = m * 0.5;
    exponent = exponent + 1.0;
  }
  const double s = (m - 1.0) / (m + 1.0);
  const double z = s * s;
  // 2 atanh(s) = 2 s (1 + z/3 + z^2/5 + ...), |s| < 0.1716
  double p = 1.0 / 23.0;
  for (int k = 21; k >= 1; k -= 2) p = std::fma(p, z, 1.0 / k);
  const double log_m = (2.0 * s) * p;
  return std::fma(exponent, 0x1.62e42fefa39efp-1, log_m);
}

// Spec: A10.1. exp of x in [-700, 0].
inline double exp64(double x) {
  constexpr double kMagic = 0x1.8p52;
  const double t = std::fma(x, 0x1.71547652b82fep+0, kMagic);
  const double n = t - kMagic;
  double r = std::fma(n, -0x1.62e42fefa39efp-1, x);
  r = std::fma(n, -0x1.abc9e3b39803fp-56, r);
  // Taylor series to r^13 / 13!, |r| <= 0.347
  double p = 1.0;
  for (int k = 13; k >= 1; --k) p = std::fma(p, r / k, 1.0);
  return p * std::bit_cast<double>(static_cast<std::uint64_t>(1023 + static_cast<std::int64_t>(n)) << 52);
}

// Spec: A10.1. Angle per position of pair i of rotary / 2 pairs: base^(-2 i / rotary), divided by the model's
// frequency factor for the pair (1 where the model has none). base >= 1, rotary even.
inline double rope_frequency(double base, std::size_t rotary, std::size_t i, float factor) {
  const double exponent = (-2.0 * static_cast<double>(i)) / static_cast<double>(rotary);
  const double power = exp64(exponent * log64(base));
  return power / static_cast<double>(factor);
}

struct SinCos {
  float sin;
  float cos;
};

// Spec: A10.2. Of an angle in [0, 2^27]: reduction by pi/2 in three parts, then Taylor series; each result is
// rounded once from binary64 to binary32.
inline SinCos sincos_of(double angle) {
  constexpr double kMagic = 0x1.8p52;
  const double t = std::fma(angle, 0x1.45f306dc9c883p-1, kMagic);  // 2 / pi
  const double n = t - kMagic;
  double r = std::fma(n, -0x1.921fb54442d18p+0, angle);
  r = std::fma(n, -0x1.1a62633145c07p-54, r);
  r = std::fma(n, 0x1.f1976b7ed8fbcp-110, r);
  const double z = r * r;
  double s = 1.0;  // sin r / r, to r^18 / 19!
  for (int k = 19; k >= 3; k -= 2) s = std::fma(s, -z / static_cast<double>(k * (k - 1)), 1.0);
  s = s * r;
  double c = 1.0;  // cos r, to r^18 / 18!
  for (int k = 18; k >= 2; k -= 2) c = std::fma(c, -z / static_cast<double>(k * (k - 1)), 1.0);
  switch (static_cast<std::int64_t>(n) & 3) {
    case 0:
      return {static_cast<float>(s), static_cast<float>(c)};
    case 1:
      return {static_cast<float>(c), static_cast<float>(-s)};
    case 2:
      return {static_cast<float>(-s), static_cast<float>(-c)};
    default:
      return {static_cast<float>(-c), static_cast<float>(s)};
  }
}

// Spec: A10.2. The entry of the table for one position and one pair.
inline SinCos rope_entry(std::size_t position, double frequency) {
  return sincos_of(static_cast<double>(position) * frequency);
}

// Spec: A10.3. Rotates the pairs (x[0], x[1]), (x[2], x[3]), ... of one head by the entries of its position;
// elements past 2 * entries.size() stay as they are.
inline void rotate(std::span<float> x, std::span<const SinCos> entries) {
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const auto [s, c] = entries[i];
    const float x0 = x[2 * i], x1 = x[2 * i + 1];
    const float x1s = x1 * s;
    const float x1c = x1 * c;
    x[2 * i] = std::fma(x0, c, -x1s);
    x[2 * i + 1] = std::fma(x0, s, x1c);
  }
}

}  // namespace cortensor::arith
