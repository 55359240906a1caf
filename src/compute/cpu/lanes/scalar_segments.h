// The words of generic/segments.inc with one lane.
#pragma once

#include "compute/cpu/lanes/scalar.h"

namespace cortensor::compute {
namespace {

inline F32 change_signs(F32 v, const uint32_t* p) {
  return from_bits(bits(v) ^ *p);
}
inline F32 rotate_lanes(F32 v) {
  return v;
}
inline int32_t start_s4(int32_t sum) {
  return -8 * sum;
}

template <int T>
inline void s8_sums(const uint8_t* w, size_t length, const int8_t* q, const int32_t*, I32 (&out)[T]) {
  for (int t = 0; t < T; ++t) {
    out[t] = 0;
    for (size_t i = 0; i < length; ++i)
      out[t] += static_cast<int8_t>(w[i]) * q[static_cast<size_t>(t) * length + i];
  }
}

struct S4Factors {
  int32_t factor, offset;
};
inline S4Factors s4_factors(const uint8_t* codes) {
  const int32_t factor = *codes & 15, shift = static_cast<int8_t>(*codes) >> 4;
  return {factor, (factor * shift + 1) >> 1};
}

template <int T>
inline void s4_block(const uint8_t* w, S4Factors f, const int8_t* q, size_t stride, const int32_t* starts,
                     const int32_t* sums, size_t blocks, I32 (&out)[T]) {
  for (int t = 0; t < T; ++t) {
    const size_t token = static_cast<size_t>(t);
    int32_t sum = starts[token * blocks];
    for (size_t i = 0; i < 16; ++i)
      sum += (w[i] & 15) * q[token * stride + i] + (w[i] >> 4) * q[token * stride + i + 16];
    out[t] += f.factor * sum + f.offset * sums[token * blocks];
  }
}

}  // namespace
}  // namespace cortensor::compute
