// The lane vocabulary on AVX-512 F, BW, DQ, VL and VNNI: sixteen lanes.
// Included by one kernel object only; see generic/kernels.inc for what each word means.
#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

namespace cortensor::compute {
namespace {

constexpr size_t kWidth = 16;
constexpr int kGemmVectors = 4;

using F32 = __m512;
using I32 = __m512i;

inline __mmask16 first_lanes(size_t n) {
  return static_cast<__mmask16>(n < kWidth ? (1u << n) - 1u : 0xffffu);
}

inline F32 zero() {
  return _mm512_setzero_ps();
}
inline F32 set1(float x) {
  return _mm512_set1_ps(x);
}
inline F32 load(const float* p) {
  return _mm512_loadu_ps(p);
}
inline F32 load_n(const float* p, size_t n) {
  return _mm512_maskz_loadu_ps(first_lanes(n), p);
}
inline void store(float* p, F32 v) {
  _mm512_storeu_ps(p, v);
}
inline void store_n(float* p, size_t n, F32 v) {
  _mm512_mask_storeu_ps(p, first_lanes(n), v);
}
inline F32 load_f32(const uint8_t* p) {
  return _mm512_castsi512_ps(_mm512_loadu_si512(p));
}
inline F32 load_bf16(const uint8_t* p) {
  const __m256i h = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}
inline F32 load_f16(const uint8_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline F32 load_i8(const int8_t* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}

inline F32 add(F32 a, F32 b) {
  return _mm512_add_ps(a, b);
}
inline F32 sub(F32 a, F32 b) {
  return _mm512_sub_ps(a, b);
}
inline F32 mul(F32 a, F32 b) {
  return _mm512_mul_ps(a, b);
}
inline F32 div(F32 a, F32 b) {
  return _mm512_div_ps(a, b);
}
inline F32 fma(F32 a, F32 b, F32 c) {
  return _mm512_fmadd_ps(a, b, c);
}
inline F32 negate(F32 a) {
  return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f));
}
inline F32 greater_or(F32 x, F32 c) {
  return _mm512_max_ps(x, c);
}  // the second operand if unordered
inline F32 less_or(F32 x, F32 c) {
  return _mm512_min_ps(x, c);
}
inline F32 select_less(F32 x, F32 c, F32 a, F32 b) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, c, _CMP_LT_OQ), b, a);
}
inline F32 select_first(size_t n, F32 a, F32 b) {
  return _mm512_mask_blend_ps(first_lanes(n), b, a);
}
inline F32 scale_by_exponent(F32 p, F32 t) {
  return _mm512_castsi512_ps(
      _mm512_add_epi32(_mm512_castps_si512(p), _mm512_slli_epi32(_mm512_castps_si512(t), 23)));
}
inline float max_of(F32 v) {
  return _mm512_reduce_max_ps(v);
}
inline float sum_of(F32 v) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

inline I32 izero() {
  return _mm512_setzero_si512();
}
inline I32 magnitude(F32 v) {
  return _mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(0x7fffffff));
}
inline I32 imax(I32 a, I32 b) {
  return _mm512_max_epi32(a, b);
}
inline I32 iadd(I32 a, I32 b) {
  return _mm512_add_epi32(a, b);
}
inline uint32_t max_of_i32(I32 v) {
  return static_cast<uint32_t>(_mm512_reduce_max_epi32(v));
}
inline int32_t sum_of_i32(I32 v) {
  return _mm512_reduce_add_epi32(v);
}
inline F32 to_f32(I32 v) {
  return _mm512_cvtepi32_ps(v);
}
inline I32 nearest(F32 v) {
  return _mm512_cvtps_epi32(v);
}  // rounds to nearest even: the pool checks MXCSR
inline void store_i8(int8_t* p, I32 v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtsepi32_epi8(v));
}
inline void prefetch_ahead(const uint8_t* p) {
  _mm_prefetch(reinterpret_cast<const char*>(p + 16384), _MM_HINT_T1);
}

inline __m512i broadcast(const void* four_bytes) {
  int32_t four;
  __builtin_memcpy(&four, four_bytes, 4);
  return _mm512_set1_epi32(four);
}

inline I32 load_i32(const uint8_t* p) {
  return _mm512_loadu_si512(p);
}
inline I32 set1_i32(int v, int parts) {
  const unsigned repeated = static_cast<unsigned>(v) * (parts == 4   ? 0x01010101u
                                                        : parts == 2 ? 0x10001u
                                                                     : 1u);
  return _mm512_set1_epi32(static_cast<int>(repeated));
}
inline I32 iand(I32 a, I32 b) {
  return _mm512_and_si512(a, b);
}
inline I32 ior(I32 a, I32 b) {
  return _mm512_or_si512(a, b);
}
inline I32 isub(I32 a, I32 b) {
  return _mm512_sub_epi32(a, b);
}
inline I32 ishl(I32 v, int n) {
  return _mm512_slli_epi32(v, static_cast<unsigned>(n));
}
inline I32 ishr(I32 v, int n) {
  return _mm512_srli_epi32(v, static_cast<unsigned>(n));
}
inline I32 sub_bytes(I32 a, I32 b) {
  return _mm512_sub_epi8(a, b);
}
// A byte goes to the upper half of its word and comes down with its sign.
inline void widen_quads(I32 v, I32& low, I32& high) {
  const __m512i to_low = _mm512_broadcast_i32x4(_mm_set_epi64x(0x0d800c8009800880, 0x0580048001800080));
  const __m512i to_high = _mm512_or_si512(to_low, _mm512_set1_epi8(2));
  low = _mm512_srai_epi16(_mm512_shuffle_epi8(v, to_low), 8);
  high = _mm512_srai_epi16(_mm512_shuffle_epi8(v, to_high), 8);
}
inline I32 dot_pairs(I32 w, I32 x, I32 sum) {
  return _mm512_dpwssd_epi32(sum, w, x);
}

// vpdpbusd wants unsigned weights: w + 128 or the nibble w + 8, corrected by the start of the sum.
inline int32_t start_q8(int32_t sum) {
  return -128 * sum;
}
inline int32_t start_q4(int32_t sum) {
  return -8 * sum;
}

template <int T, size_t kStride>
inline void dots_q8(const uint8_t* w, const int8_t* q, const int32_t* starts, I32 (&out)[T]) {
  const __m512i top = _mm512_set1_epi8(static_cast<char>(0x80));
  __m512i odd[T];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
    out[t] = broadcast(starts + t);
    odd[t] = _mm512_setzero_si512();
  }
#pragma GCC unroll 8
  for (int j = 0; j < 8; j += 2) {
    const __m512i a = _mm512_xor_si512(_mm512_loadu_si512(w + 64 * j), top);
    const __m512i b = _mm512_xor_si512(_mm512_loadu_si512(w + 64 * j + 64), top);
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) {
      const int8_t* x = q + static_cast<size_t>(t) * kStride + 4 * j;
      out[t] = _mm512_dpbusd_epi32(out[t], a, broadcast(x));
      odd[t] = _mm512_dpbusd_epi32(odd[t], b, broadcast(x + 4));
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) out[t] = _mm512_add_epi32(out[t], odd[t]);
}

template <int T, size_t kStride>
inline void dots_q4(const uint8_t* w, const int8_t* q, const int32_t* starts, I32 (&out)[T]) {
  const __m512i low = _mm512_set1_epi8(15);
  __m512i odd[T];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
    out[t] = broadcast(starts + t);
    odd[t] = _mm512_setzero_si512();
  }
#pragma GCC unroll 8
  for (int j = 0; j < 4; ++j) {
    const __m512i v = _mm512_loadu_si512(w + 64 * j);
    const __m512i first = _mm512_and_si512(v, low);
    const __m512i second = _mm512_and_si512(_mm512_srli_epi16(v, 4), low);
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) {
      const int8_t* x = q + static_cast<size_t>(t) * kStride + 4 * j;
      out[t] = _mm512_dpbusd_epi32(out[t], first, broadcast(x));
      odd[t] = _mm512_dpbusd_epi32(odd[t], second, broadcast(x + 16));
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) out[t] = _mm512_add_epi32(out[t], odd[t]);
}

// The sums of both halves of T blocks.
template <int T, class Planes>
inline void half_sums(const Planes& w, const int8_t* q, I32 (&first)[T], I32 (&second)[T]) {
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) first[t] = second[t] = _mm512_setzero_si512();
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    __m512i a, b;
    w.quads(j, a, b);
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) {
      const int8_t* x = q + static_cast<size_t>(t) * 32 + 4 * j;
      first[t] = _mm512_dpbusd_epi32(first[t], a, broadcast(x));
      second[t] = _mm512_dpbusd_epi32(second[t], b, broadcast(x + 16));
    }
  }
}

template <int T, class Planes>
inline void plain_sums(const Planes& w, const int8_t* q, I32 (&out)[T]) {
  I32 second[T];
  half_sums<T>(w, q, out, second);
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) out[t] = _mm512_add_epi32(out[t], second[t]);
}

template <int T, class Planes>
inline void scaled_sums(const Planes& w, const int8_t* q, I32 sub, I32 (&out)[T]) {
  const __m512i low = _mm512_srai_epi32(_mm512_slli_epi32(sub, 16), 16), high = _mm512_srai_epi32(sub, 16);
  I32 second[T];
  half_sums<T>(w, q, out, second);
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t)
    out[t] = _mm512_add_epi32(_mm512_mullo_epi32(out[t], low), _mm512_mullo_epi32(second[t], high));
}

}  // namespace
}  // namespace cortensor::compute
