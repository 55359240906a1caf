// The words of generic/segments.inc on Advanced SIMD.
#pragma once

#include "compute/cpu/lanes/neon.h"

namespace cortensor::compute {
namespace {

inline F32 change_signs(F32 v, const uint32_t* p) {
  return vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(v), vld1q_u32(p)));
}
// A stage takes a + b and a - b: the swapped vector plus the vector with every second operand negated.
inline F32 rotate_lanes(F32 v) {
  alignas(16) static constexpr uint32_t kOdd[kWidth] = {0, 0x80000000u, 0, 0x80000000u};
  alignas(16) static constexpr uint32_t kUpper[kWidth] = {0, 0, 0x80000000u, 0x80000000u};
  v = vaddq_f32(vrev64q_f32(v), change_signs(v, kOdd));
  return vaddq_f32(vextq_f32(v, v, 2), change_signs(v, kUpper));
}
inline int32_t start_s4(int32_t sum) {
  return start_q4(sum);
}

template <int T>
inline void s8_sums(const uint8_t* w, size_t length, const int8_t* q, const int32_t*, I32 (&out)[T]) {
  I32 second[T];
  set_zero(out);
  set_zero(second);
  for (size_t i = 0; i < length; i += 32, w += 32 * kWidth) {
    if (T == 1) {
      prefetch_ahead(w);
      prefetch_ahead(w + 64);
    }
    add_halves(BytesOfRows{w}, q + i, length, out, second);
  }
  add_to(out, second);
}

struct S4Factors {
  I32 factor, offset;
};
inline S4Factors s4_factors(const uint8_t* codes) {
  const I32 code = widen(codes);
  const I32 factor = vandq_s32(code, vdupq_n_s32(15));
  const I32 twice = vmulq_s32(factor, vshrq_n_s32(code, 4));
  return {factor, vshrq_n_s32(vaddq_s32(twice, vdupq_n_s32(1)), 1)};
}

template <int T>
inline void s4_block(const uint8_t* w, S4Factors f, const int8_t* q, size_t stride, const int32_t* starts,
                     const int32_t* sums, size_t blocks, I32 (&out)[T]) {
  if (T == 1) prefetch_ahead(w);
  I32 first[T], second[T];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) first[t] = broadcast(starts + static_cast<size_t>(t) * blocks);
  set_zero(second);
  add_halves(NibblesOfRows{w}, q, stride, first, second);
  add_to(first, second);
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
    const I32 sum = broadcast(sums + static_cast<size_t>(t) * blocks);
    out[t] = vmlaq_s32(vmlaq_s32(out[t], f.factor, first[t]), f.offset, sum);
  }
}

}  // namespace
}  // namespace cortensor::compute
