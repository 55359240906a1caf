// The lane vocabulary on Advanced SIMD with dot products: four lanes.
// Included by one kernel object only; see generic/kernels.inc for what each word means.
#pragma once

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>

namespace cortensor::compute {
namespace {

constexpr size_t kWidth = 4;
constexpr int kGemmVectors = 4;

using F32 = float32x4_t;
using I32 = int32x4_t;

inline uint32x4_t first_lanes(size_t n) {
  static constexpr uint32_t kIndex[kWidth] = {0, 1, 2, 3};
  return vcltq_u32(vld1q_u32(kIndex), vdupq_n_u32(n < kWidth ? static_cast<uint32_t>(n) : 4));
}
inline int32_t four_bytes(const void* p) {
  int32_t four;
  __builtin_memcpy(&four, p, 4);
  return four;
}

inline F32 zero() {
  return vdupq_n_f32(0.0f);
}
inline F32 set1(float x) {
  return vdupq_n_f32(x);
}
inline F32 load(const float* p) {
  return vld1q_f32(p);
}
inline F32 load_n(const float* p, size_t n) {
  if (n >= kWidth) return vld1q_f32(p);
  float lanes[kWidth] = {};
  for (size_t i = 0; i < n; ++i) lanes[i] = p[i];
  return vld1q_f32(lanes);
}
inline void store(float* p, F32 v) {
  vst1q_f32(p, v);
}
inline void store_n(float* p, size_t n, F32 v) {
  if (n >= kWidth) return vst1q_f32(p, v);
  float lanes[kWidth];
  vst1q_f32(lanes, v);
  for (size_t i = 0; i < n; ++i) p[i] = lanes[i];
}
inline F32 load_f32(const uint8_t* p) {
  return vreinterpretq_f32_u8(vld1q_u8(p));
}
inline F32 load_bf16(const uint8_t* p) {
  return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(p)), 16));
}
inline F32 load_f16(const uint8_t* p) {
  return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
}
inline I32 widen(const void* four) {  // signed bytes
  return vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four_bytes(four))))));
}
inline F32 load_i8(const int8_t* p) {
  return vcvtq_f32_s32(widen(p));
}

inline F32 add(F32 a, F32 b) {
  return vaddq_f32(a, b);
}
inline F32 sub(F32 a, F32 b) {
  return vsubq_f32(a, b);
}
inline F32 mul(F32 a, F32 b) {
  return vmulq_f32(a, b);
}
inline F32 div(F32 a, F32 b) {
  return vdivq_f32(a, b);
}
inline F32 fma(F32 a, F32 b, F32 c) {
  return vfmaq_f32(c, a, b);
}
inline F32 negate(F32 a) {
  return vnegq_f32(a);
}
// The instructions for maxima and minima keep a NaN.
inline F32 greater_or(F32 x, F32 c) {
  return vbslq_f32(vcgtq_f32(x, c), x, c);
}
inline F32 less_or(F32 x, F32 c) {
  return vbslq_f32(vcltq_f32(x, c), x, c);
}
inline F32 select_less(F32 x, F32 c, F32 a, F32 b) {
  return vbslq_f32(vcltq_f32(x, c), a, b);
}
inline F32 select_first(size_t n, F32 a, F32 b) {
  return vbslq_f32(first_lanes(n), a, b);
}
inline F32 scale_by_exponent(F32 p, F32 t) {
  return vreinterpretq_f32_s32(
      vaddq_s32(vreinterpretq_s32_f32(p), vshlq_n_s32(vreinterpretq_s32_f32(t), 23)));
}
inline float max_of(F32 v) {
  return vmaxvq_f32(v);
}
inline float sum_of(F32 v) {
  const float32x2_t s = vadd_f32(vget_low_f32(v), vget_high_f32(v));
  return vget_lane_f32(s, 0) + vget_lane_f32(s, 1);
}

inline I32 izero() {
  return vdupq_n_s32(0);
}
inline I32 magnitude(F32 v) {
  return vandq_s32(vreinterpretq_s32_f32(v), vdupq_n_s32(0x7fffffff));
}
inline I32 imax(I32 a, I32 b) {
  return vmaxq_s32(a, b);
}
inline I32 iadd(I32 a, I32 b) {
  return vaddq_s32(a, b);
}
inline uint32_t max_of_i32(I32 v) {
  return static_cast<uint32_t>(vmaxvq_s32(v));
}
inline int32_t sum_of_i32(I32 v) {
  return vaddvq_s32(v);
}
inline F32 to_f32(I32 v) {
  return vcvtq_f32_s32(v);
}
inline I32 nearest(F32 v) {
  return vcvtnq_s32_f32(v);
}
inline void store_i8(int8_t* p, I32 v) {
  const int16x4_t words = vmovn_s32(v);
  const int32_t four = vget_lane_s32(vreinterpret_s32_s8(vmovn_s16(vcombine_s16(words, words))), 0);
  __builtin_memcpy(p, &four, 4);
}
inline void prefetch_ahead(const uint8_t* p) {
  __builtin_prefetch(p + 4096);
}

inline I32 broadcast(const void* p) {
  return vdupq_n_s32(four_bytes(p));
}
inline I32 load_i32(const uint8_t* p) {
  return vreinterpretq_s32_u8(vld1q_u8(p));
}
inline I32 set1_i32(int v, int parts) {
  const unsigned repeated = static_cast<unsigned>(v) * (parts == 4   ? 0x01010101u
                                                        : parts == 2 ? 0x10001u
                                                                     : 1u);
  return vdupq_n_s32(static_cast<int>(repeated));
}
inline I32 iand(I32 a, I32 b) {
  return vandq_s32(a, b);
}
inline I32 ior(I32 a, I32 b) {
  return vorrq_s32(a, b);
}
inline I32 isub(I32 a, I32 b) {
  return vsubq_s32(a, b);
}
inline I32 ishl(I32 v, int n) {
  return v << n;
}
inline I32 ishr(I32 v, int n) {
  return vreinterpretq_s32_u32(vreinterpretq_u32_s32(v) >> static_cast<unsigned>(n));
}
inline I32 sub_bytes(I32 a, I32 b) {
  return vreinterpretq_s32_s8(vsubq_s8(vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b)));
}
inline void widen_quads(I32 v, I32& low, I32& high) {
  const int8x16_t bytes = vreinterpretq_s8_s32(v);
  const I32 a = vreinterpretq_s32_s16(vmovl_s8(vget_low_s8(bytes)));
  const I32 b = vreinterpretq_s32_s16(vmovl_high_s8(bytes));
  low = vuzp1q_s32(a, b);
  high = vuzp2q_s32(a, b);
}
inline I32 dot_pairs(I32 w, I32 x, I32 sum) {
  const int16x8_t a = vreinterpretq_s16_s32(w), b = vreinterpretq_s16_s32(x);
  const I32 low = vmull_s16(vget_low_s16(a), vget_low_s16(b)), high = vmull_high_s16(a, b);
  return vaddq_s32(sum, vpaddq_s32(low, high));
}

inline int32_t start_q8(int32_t) {
  return 0;
}
inline int32_t start_q4(int32_t sum) {
  return -8 * sum;
}

// Weights of 32 columns; quads(j) gives the bytes of elements 4j .. and of 16 + 4j .. of four rows.
struct BytesOfRows {
  const uint8_t* p;
  void quads(int j, I32& first, I32& second) const {
    first = load_i32(p + 16 * j);
    second = load_i32(p + 16 * (j + 4));
  }
};
struct NibblesOfRows {
  const uint8_t* p;
  void quads(int j, I32& first, I32& second) const {
    const uint8x16_t v = vld1q_u8(p + 16 * j);
    first = vreinterpretq_s32_u8(vandq_u8(v, vdupq_n_u8(15)));
    second = vreinterpretq_s32_u8(vshrq_n_u8(v, 4));
  }
};

template <int kQuad, int T, class Weights>
inline void add_quads(const Weights& w, const int8x16_t (&low)[T], const int8x16_t (&high)[T],
                      I32 (&first)[T], I32 (&second)[T]) {
  I32 a, b;
  w.quads(kQuad, a, b);
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
    first[t] = vdotq_laneq_s32(first[t], vreinterpretq_s8_s32(a), low[t], kQuad);
    second[t] = vdotq_laneq_s32(second[t], vreinterpretq_s8_s32(b), high[t], kQuad);
  }
}

// Adds the sums of both halves of T blocks, which lie `stride` bytes apart.
template <int T, class Weights>
inline void add_halves(const Weights& w, const int8_t* q, size_t stride, I32 (&first)[T], I32 (&second)[T]) {
  int8x16_t low[T], high[T];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t, q += stride) {
    low[t] = vld1q_s8(q);
    high[t] = vld1q_s8(q + 16);
  }
  add_quads<0>(w, low, high, first, second);
  add_quads<1>(w, low, high, first, second);
  add_quads<2>(w, low, high, first, second);
  add_quads<3>(w, low, high, first, second);
}

template <int T>
inline void set_zero(I32 (&sums)[T]) {
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) sums[t] = izero();
}
template <int T>
inline void add_to(I32 (&sums)[T], const I32 (&others)[T]) {
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) sums[t] = iadd(sums[t], others[t]);
}

template <int T, size_t kStride>
inline void dots_q8(const uint8_t* w, const int8_t* q, const int32_t*, I32 (&out)[T]) {
  I32 second[T];
  set_zero(out);
  set_zero(second);
  add_halves(BytesOfRows{w}, q, kStride, out, second);
  add_to(out, second);
}

template <int T, size_t kStride>
inline void dots_q4(const uint8_t* w, const int8_t* q, const int32_t* starts, I32 (&out)[T]) {
  I32 second[T];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) out[t] = broadcast(starts + t);
  set_zero(second);
  add_halves(NibblesOfRows{w}, q, kStride, out, second);
  add_to(out, second);
}

template <int T, class Planes>
inline void plain_sums(const Planes& w, const int8_t* q, I32 (&out)[T]) {
  I32 second[T];
  set_zero(out);
  set_zero(second);
  add_halves(w, q, 32, out, second);
  add_to(out, second);
}

template <int T, class Planes>
inline void scaled_sums(const Planes& w, const int8_t* q, I32 sub, I32 (&out)[T]) {
  const I32 low = vshrq_n_s32(vshlq_n_s32(sub, 16), 16), high = vshrq_n_s32(sub, 16);
  I32 second[T];
  set_zero(out);
  set_zero(second);
  add_halves(w, q, 32, out, second);
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) out[t] = vmlaq_s32(vmulq_s32(out[t], low), second[t], high);
}

}  // namespace
}  // namespace cortensor::compute
