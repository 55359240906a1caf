// The exponential function in binary32. It never returns zero, infinity or a subnormal.
#pragma once

#include <cmath>
#include <cstdint>

#include "arith/bits.h"

namespace cortensor::arith {

// Spec: A7. Cody-Waite reduction, then the degree-7 polynomial with the coefficients of Cephes' expf. The
// argument is clamped to [-87, 88] (a NaN becomes -87); relative error at most 8.4e-8 there; exp(0) is
// exactly 1.
inline float exp(float x) {
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23
  x = x > -87.0f ? x : -87.0f;
  x = x < 88.0f ? x : 88.0f;
  const float t = std::fma(x, float_of(0x3fb8aa3bu), kMagic);  // log2(e)
  const float n = t - kMagic;
  float r = std::fma(n, float_of(0xbf317200u), x);  // -ln 2, high part
  r = std::fma(n, float_of(0xb5bfbe8eu), r);        // -ln 2, low part
  float p = float_of(0x39506967u);
  p = std::fma(p, r, float_of(0x3ab743ceu));
  p = std::fma(p, r, float_of(0x3c088908u));
  p = std::fma(p, r, float_of(0x3d2aa9c1u));
  p = std::fma(p, r, float_of(0x3e2aaaaau));
  p = std::fma(p, r, float_of(0x3f000000u));
  const float square = r * r;
  p = std::fma(p, square, r);
  p = p + 1.0f;
  return float_of(bits_of(p) + (bits_of(t) << 23));
}

}  // namespace cortensor::arith
