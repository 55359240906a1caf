// The lane vocabulary with one lane: portable, and the slow twin of the others.
// Included by one kernel object only; see generic/kernels.inc for what each word means.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace cortensor::compute {
namespace {

constexpr size_t kWidth = 1;
constexpr int kGemmVectors = 2;  // row vectors per pass of a regular product over several tokens

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
inline float sum_of(F32 v) {
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
inline void prefetch_ahead(const uint8_t*) {}

inline I32 load_i32(const uint8_t* p) {
  I32 v;
  __builtin_memcpy(&v, p, 4);
  return v;
}
inline I32 broadcast(const void* four_bytes) {
  return load_i32(static_cast<const uint8_t*>(four_bytes));
}
constexpr I32 set1_i32(int v, int parts) {
  return static_cast<I32>(static_cast<uint32_t>(v) * (parts == 4 ? 0x01010101u : parts == 2 ? 0x10001u : 1u));
}
inline I32 iand(I32 a, I32 b) {
  return a & b;
}
inline I32 ior(I32 a, I32 b) {
  return a | b;
}
inline I32 isub(I32 a, I32 b) {
  return a - b;
}
inline I32 ishl(I32 v, int n) {
  return static_cast<I32>(static_cast<uint32_t>(v) << n);
}
inline I32 ishr(I32 v, int n) {
  return static_cast<I32>(static_cast<uint32_t>(v) >> n);
}
inline I32 byte_of(I32 v, int i) {  // signed
  return static_cast<int8_t>(static_cast<uint32_t>(v) >> 8 * i);
}
inline I32 word_of(I32 v, int i) {  // signed
  return static_cast<int16_t>(static_cast<uint32_t>(v) >> 16 * i);
}
inline I32 sub_bytes(I32 a, I32 b) {
  uint32_t out = 0;
  for (int i = 0; i < 4; ++i) out |= (static_cast<uint32_t>(byte_of(a, i) - byte_of(b, i)) & 0xffu) << 8 * i;
  return static_cast<I32>(out);
}
inline I32 words(I32 first, I32 second) {
  return static_cast<I32>((static_cast<uint32_t>(first) & 0xffffu) | static_cast<uint32_t>(second) << 16);
}
inline void widen_quads(I32 v, I32& low, I32& high) {
  low = words(byte_of(v, 0), byte_of(v, 1));
  high = words(byte_of(v, 2), byte_of(v, 3));
}
inline I32 dot_pairs(I32 w, I32 x, I32 sum) {
  return sum + word_of(w, 0) * word_of(x, 0) + word_of(w, 1) * word_of(x, 1);
}

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

// The sums of both halves of a block.
template <class Planes>
inline void half_sums(const Planes& w, const int8_t* q, I32 (&sums)[2]) {
  sums[0] = sums[1] = 0;
  for (int j = 0; j < 4; ++j) {
    I32 quads[2];
    w.quads(j, quads[0], quads[1]);
    for (int i = 0; i < 4; ++i) {
      sums[0] += byte_of(quads[0], i) * q[4 * j + i];
      sums[1] += byte_of(quads[1], i) * q[16 + 4 * j + i];
    }
  }
}

template <int T, class Planes>
inline void plain_sums(const Planes& w, const int8_t* q, I32 (&out)[T]) {
  for (int t = 0; t < T; ++t, q += 32) {
    I32 sums[2];
    half_sums(w, q, sums);
    out[t] = sums[0] + sums[1];
  }
}

template <int T, class Planes>
inline void scaled_sums(const Planes& w, const int8_t* q, I32 sub, I32 (&out)[T]) {
  for (int t = 0; t < T; ++t, q += 32) {
    I32 sums[2];
    half_sums(w, q, sums);
    out[t] = word_of(sub, 0) * sums[0] + word_of(sub, 1) * sums[1];
  }
}

}  // namespace
}  // namespace cortensor::compute
