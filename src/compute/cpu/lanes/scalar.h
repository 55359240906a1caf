// The lane vocabulary with one lane: portable, and the slow twin of the others.
// Included by one kernel object only; see generic/kernels.inc for what each word means.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace cortensor::compute {
namespace {

constexpr size_t kWidth = 1;
constexpr int kGemmVectors = 2;  // row vectors per pass of a regular product over several tokens
constexpr bool kWideTiles = false;

using F32 = float;
using I32 = int32_t;

inline uint32_t bits(float x) {
  uint32_t b;
  __builtin_memcpy(&b, &x, 4);
  return b;
}
inline float from_bits(uint32_t b) {
  float x;
  __builtin_memcpy(&x, &b, 4);
  return x;
}

inline F32 zero() {
  return 0.0f;
}
inline F32 set1(float x) {
  return x;
}
inline F32 load(const float* p) {
  return *p;
}
inline F32 load_n(const float* p, size_t n) {
  return n > 0 ? *p : 0.0f;
}
inline void store(float* p, F32 v) {
  *p = v;
}
inline void store_n(float* p, size_t n, F32 v) {
  if (n > 0) *p = v;
}
inline F32 load_f32(const uint8_t* p) {
  float x;
  __builtin_memcpy(&x, p, 4);
  return x;
}
inline F32 load_bf16(const uint8_t* p) {
  uint16_t h;
  __builtin_memcpy(&h, p, 2);
  return from_bits(static_cast<uint32_t>(h) << 16);
}
inline F32 load_f16(const uint8_t* p) {  // finite
  uint16_t h;
  __builtin_memcpy(&h, p, 2);
  const uint32_t sign = (h & 0x8000u) << 16, exponent = (h >> 10) & 31u, mantissa = h & 0x3ffu;
  if (exponent == 0) return from_bits(sign | bits(static_cast<float>(mantissa) * 0x1p-24f));
  return from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}
inline F32 load_i8(const int8_t* p) {
  return static_cast<float>(*p);
}

inline F32 add(F32 a, F32 b) {
  return a + b;
}
inline F32 sub(F32 a, F32 b) {
  return a - b;
}
inline F32 mul(F32 a, F32 b) {
  return a * b;
}
inline F32 div(F32 a, F32 b) {
  return a / b;
}
inline F32 fma(F32 a, F32 b, F32 c) {
  return __builtin_fmaf(a, b, c);
}
inline F32 negate(F32 a) {
  return -a;
}
inline F32 greater_or(F32 x, F32 c) {
  return x > c ? x : c;
}
inline F32 less_or(F32 x, F32 c) {
  return x < c ? x : c;
}
inline F32 select_less(F32 x, F32 c, F32 a, F32 b) {
  return x < c ? a : b;
}
inline F32 select_first(size_t n, F32 a, F32 b) {
  return n > 0 ? a : b;
}
inline F32 scale_by_exponent(F32 p, F32 t) {
  return from_bits(bits(p) + (bits(t) << 23));
}
inline float max_of(F32 v) {
  return v;
}

inline I32 izero() {
  return 0;
}
inline I32 magnitude(F32 v) {
  return static_cast<I32>(bits(v) & 0x7fffffffu);
}
inline I32 imax(I32 a, I32 b) {
  return a > b ? a : b;
}
inline I32 iadd(I32 a, I32 b) {
  return a + b;
}
inline uint32_t max_of_i32(I32 v) {
  return static_cast<uint32_t>(v);
}
inline int32_t sum_of_i32(I32 v) {
  return v;
}
inline F32 to_f32(I32 v) {
  return static_cast<float>(v);
}
inline I32 nearest(F32 v) {
  return static_cast<I32>(bits(v + 12582912.0f) - 0x4b400000u);
}
inline void store_i8(int8_t* p, I32 v) {
  *p = static_cast<int8_t>(v);
}
inline void prefetch(const void*) {}

inline int32_t start_q8(int32_t) {
  return 0;
}
inline int32_t start_q4(int32_t sum) {
  return -8 * sum;
}

template <int T, size_t kStride>
inline void dots_q8(const uint8_t* w, const int8_t* q, const int32_t* starts, I32 (&out)[T]) {
  for (int t = 0; t < T; ++t, q += kStride) {
    int32_t sum = starts[t];
    for (int i = 0; i < 32; ++i) sum += static_cast<int8_t>(w[i]) * q[i];
    out[t] = sum;
  }
}

template <int T, size_t kStride>
inline void dots_q4(const uint8_t* w, const int8_t* q, const int32_t* starts, I32 (&out)[T]) {
  for (int t = 0; t < T; ++t, q += kStride) {
    int32_t sum = starts[t];
    for (int i = 0; i < 16; ++i) sum += (w[i] & 15) * q[i] + (w[i] >> 4) * q[i + 16];
    out[t] = sum;
  }
}

}  // namespace
}  // namespace cortensor::compute
