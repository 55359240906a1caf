// The lane vocabulary on AVX2, FMA and F16C: eight lanes.
// Included by one kernel object only; see generic/kernels.inc for what each word means.
#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

namespace cortensor::compute {
namespace {

constexpr size_t kWidth = 8;
constexpr int kGemmVectors = 2;

using F32 = __m256;
using I32 = __m256i;

inline __m256i first_lanes(size_t n) {
  const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n < kWidth ? static_cast<int>(n) : 8), index);
}

inline F32 zero() {
  return _mm256_setzero_ps();
}
inline F32 set1(float x) {
  return _mm256_set1_ps(x);
}
inline F32 load(const float* p) {
  return _mm256_loadu_ps(p);
}
// Masked stores are many times slower than plain ones on some processors, and whole vectors are the rule.
inline F32 load_n(const float* p, size_t n) {
  if (n >= kWidth) return _mm256_loadu_ps(p);
  return _mm256_maskload_ps(p, first_lanes(n));
}
inline void store(float* p, F32 v) {
  _mm256_storeu_ps(p, v);
}
inline void store_n(float* p, size_t n, F32 v) {
  if (n >= kWidth) return _mm256_storeu_ps(p, v);
  _mm256_maskstore_ps(p, first_lanes(n), v);
}
inline F32 load_f32(const uint8_t* p) {
  return _mm256_castsi256_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline F32 load_bf16(const uint8_t* p) {
  const __m128i h = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}
inline F32 load_f16(const uint8_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline F32 load_i8(const int8_t* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}

inline F32 add(F32 a, F32 b) {
  return _mm256_add_ps(a, b);
}
inline F32 sub(F32 a, F32 b) {
  return _mm256_sub_ps(a, b);
}
inline F32 mul(F32 a, F32 b) {
  return _mm256_mul_ps(a, b);
}
inline F32 div(F32 a, F32 b) {
  return _mm256_div_ps(a, b);
}
inline F32 fma(F32 a, F32 b, F32 c) {
  return _mm256_fmadd_ps(a, b, c);
}
inline F32 negate(F32 a) {
  return _mm256_xor_ps(a, _mm256_set1_ps(-0.0f));
}
inline F32 greater_or(F32 x, F32 c) {
  return _mm256_max_ps(x, c);
}  // the second operand if unordered
inline F32 less_or(F32 x, F32 c) {
  return _mm256_min_ps(x, c);
}
inline F32 select_less(F32 x, F32 c, F32 a, F32 b) {
  return _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, c, _CMP_LT_OQ));
}
inline F32 select_first(size_t n, F32 a, F32 b) {
  return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(first_lanes(n)));
}
inline F32 scale_by_exponent(F32 p, F32 t) {
  return _mm256_castsi256_ps(
      _mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_castps_si256(t), 23)));
}
inline float max_of(F32 v) {
  __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  m = _mm_max_ps(m, _mm_movehl_ps(m, m));
  return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}
inline float sum_of(F32 v) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

inline I32 izero() {
  return _mm256_setzero_si256();
}
inline I32 magnitude(F32 v) {
  return _mm256_and_si256(_mm256_castps_si256(v), _mm256_set1_epi32(0x7fffffff));
}
inline I32 imax(I32 a, I32 b) {
  return _mm256_max_epi32(a, b);
}
inline I32 iadd(I32 a, I32 b) {
  return _mm256_add_epi32(a, b);
}
inline uint32_t max_of_i32(I32 v) {
  __m128i m = _mm_max_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1));
  return static_cast<uint32_t>(_mm_cvtsi128_si32(m));
}
inline int32_t sum_of_i32(I32 v) {
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
  return _mm_cvtsi128_si32(s);
}
inline F32 to_f32(I32 v) {
  return _mm256_cvtepi32_ps(v);
}
inline I32 nearest(F32 v) {
  return _mm256_cvtps_epi32(v);
}  // rounds to nearest even: the pool checks MXCSR
inline void store_i8(int8_t* p, I32 v) {
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(words, words));
}
inline void prefetch_ahead(const uint8_t* p) {
  _mm_prefetch(reinterpret_cast<const char*>(p + 4096), _MM_HINT_T0);
}

inline __m256i broadcast(const void* four_bytes) {
  int32_t four;
  __builtin_memcpy(&four, four_bytes, 4);
  return _mm256_set1_epi32(four);
}

inline I32 load_i32(const uint8_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
inline I32 set1_i32(int v, int parts) {
  const unsigned repeated = static_cast<unsigned>(v) * (parts == 4   ? 0x01010101u
                                                        : parts == 2 ? 0x10001u
                                                                     : 1u);
  return _mm256_set1_epi32(static_cast<int>(repeated));
}
inline I32 iand(I32 a, I32 b) {
  return _mm256_and_si256(a, b);
}
inline I32 ior(I32 a, I32 b) {
  return _mm256_or_si256(a, b);
}
inline I32 isub(I32 a, I32 b) {
  return _mm256_sub_epi32(a, b);
}
inline I32 ishl(I32 v, int n) {
  return _mm256_slli_epi32(v, n);
}
inline I32 ishr(I32 v, int n) {
  return _mm256_srli_epi32(v, n);
}
inline I32 sub_bytes(I32 a, I32 b) {
  return _mm256_sub_epi8(a, b);
}
// A byte goes to the upper half of its word and comes down with its sign.
inline void widen_quads(I32 v, I32& low, I32& high) {
  const __m256i to_low =
      _mm256_setr_epi64x(0x0580048001800080, 0x0d800c8009800880, 0x0580048001800080, 0x0d800c8009800880);
  const __m256i to_high = _mm256_or_si256(to_low, _mm256_set1_epi8(2));
  low = _mm256_srai_epi16(_mm256_shuffle_epi8(v, to_low), 8);
  high = _mm256_srai_epi16(_mm256_shuffle_epi8(v, to_high), 8);
}
inline I32 dot_pairs(I32 w, I32 x, I32 sum) {
  return _mm256_add_epi32(sum, _mm256_madd_epi16(w, x));
}

inline int32_t start_q8(int32_t) {
  return 0;
}
// -4 * sum in both halves: pairs of 16-bit sums start there, and their total at -8 * sum.
inline int32_t start_q4(int32_t sum) {
  const auto half = static_cast<uint32_t>(static_cast<uint16_t>(-4 * sum));
  return static_cast<int32_t>(half << 16 | half);
}

// |w| is at most 128 as an unsigned byte and q at least -127, so q with w's sign never wraps and no pair of
// products saturates: 2 * 128 * 127 < 2^15.
template <int T, size_t kStride>
inline void dots_q8(const uint8_t* w, const int8_t* q, const int32_t*, I32 (&out)[T]) {
  const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 8
  for (int j = 0; j < 8; ++j) {
    const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + 32 * j));
    const __m256i a = _mm256_abs_epi8(v);
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) {
      const __m256i x = broadcast(q + static_cast<size_t>(t) * kStride + 4 * j);
      const __m256i four = _mm256_madd_epi16(_mm256_maddubs_epi16(a, _mm256_sign_epi8(x, v)), ones);
      out[t] = j == 0 ? four : _mm256_add_epi32(out[t], four);
    }
  }
}

// Nibbles stay unsigned. A 16-bit sum holds 16 products and its start; its value in the end is the sum of
// (nibble - 4) * q over its own elements less 4 * the sum of the others: at most 16 * 127 * (11 + 4) < 2^15.
template <int T, size_t kStride>
inline void dots_q4(const uint8_t* w, const int8_t* q, const int32_t* starts, I32 (&out)[T]) {
  const __m256i low = _mm256_set1_epi8(15);
  __m256i acc[T];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) acc[t] = broadcast(starts + t);
#pragma GCC unroll 8
  for (int j = 0; j < 4; ++j) {
    const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + 32 * j));
    const __m256i first = _mm256_and_si256(v, low);
    const __m256i second = _mm256_and_si256(_mm256_srli_epi16(v, 4), low);
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) {
      const int8_t* x = q + static_cast<size_t>(t) * kStride + 4 * j;
      acc[t] = _mm256_add_epi16(acc[t], _mm256_maddubs_epi16(first, broadcast(x)));
      acc[t] = _mm256_add_epi16(acc[t], _mm256_maddubs_epi16(second, broadcast(x + 16)));
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) out[t] = _mm256_madd_epi16(acc[t], _mm256_set1_epi16(1));
}

// Products of planes gather in words: of the first halves of T blocks, and of the second.
template <int T, class Planes>
inline void add_quads(const Planes& w, int j, const int8_t* q, bool start, I32 (&first)[T],
                      I32 (&second)[T]) {
  __m256i a, b;
  w.quads(j, a, b);
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
    const int8_t* x = q + static_cast<size_t>(t) * 32 + 4 * j;
    const __m256i low = _mm256_maddubs_epi16(a, broadcast(x)),
                  high = _mm256_maddubs_epi16(b, broadcast(x + 16));
    first[t] = start ? low : _mm256_add_epi16(first[t], low);
    second[t] = start ? high : _mm256_add_epi16(second[t], high);
  }
}

// A word of a half holds 8 products, of a whole block 16; all of them must stay below 2^15.
template <int T, class Planes>
inline void plain_sums(const Planes& w, const int8_t* q, I32 (&out)[T]) {
  static_assert(8 * 127 * Planes::kLargest < 1 << 15);
  const __m256i ones = _mm256_set1_epi16(1);
  I32 first[T], second[T];
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) add_quads<T>(w, j, q, j == 0, first, second);
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
    if constexpr (16 * 127 * Planes::kLargest < 1 << 15)
      out[t] = _mm256_madd_epi16(_mm256_add_epi16(first[t], second[t]), ones);
    else
      out[t] = _mm256_add_epi32(_mm256_madd_epi16(first[t], ones), _mm256_madd_epi16(second[t], ones));
  }
}

// Words of 6-bit integers have room for 4 products.
template <int T, class Planes>
inline void scaled_sums(const Planes& w, const int8_t* q, I32 sub, I32 (&out)[T]) {
  constexpr int kSteps = 8 * 127 * Planes::kLargest < 1 << 15 ? 4 : 2;
  static_assert(2 * kSteps * 127 * Planes::kLargest < 1 << 15);
  const __m256i low =
      _mm256_or_si256(_mm256_slli_epi32(sub, 16), _mm256_and_si256(sub, _mm256_set1_epi32(0xffff)));
  const __m256i high = _mm256_blend_epi16(_mm256_srli_epi32(sub, 16), sub, 0xaa);
#pragma GCC unroll 4
  for (int j = 0; j < 4; j += kSteps) {
    I32 first[T], second[T];
#pragma GCC unroll 4
    for (int k = 0; k < kSteps; ++k) add_quads<T>(w, j + k, q, k == 0, first, second);
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) {
      const __m256i both =
          _mm256_add_epi32(_mm256_madd_epi16(first[t], low), _mm256_madd_epi16(second[t], high));
      out[t] = j == 0 ? both : _mm256_add_epi32(out[t], both);
    }
  }
}

}  // namespace
}  // namespace cortensor::compute
