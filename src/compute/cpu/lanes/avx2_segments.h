// The words of generic/segments.inc on AVX2.
#pragma once

#include "compute/cpu/lanes/avx2.h"

namespace cortensor::compute {
namespace {

inline F32 change_signs(F32 v, const uint32_t* p) {
  return _mm256_xor_ps(v, _mm256_load_ps(reinterpret_cast<const float*>(p)));
}
// A stage takes a + b and a - b: the swapped vector plus the vector with every second operand negated.
inline F32 rotate_lanes(F32 v) {
  const __m256 n = _mm256_set1_ps(-0.0f), z = _mm256_setzero_ps();
  v = _mm256_add_ps(_mm256_permute_ps(v, 0xb1), _mm256_xor_ps(v, _mm256_blend_ps(z, n, 0xaa)));
  v = _mm256_add_ps(_mm256_permute_ps(v, 0x4e), _mm256_xor_ps(v, _mm256_blend_ps(z, n, 0xcc)));
  return _mm256_add_ps(_mm256_permute2f128_ps(v, v, 1), _mm256_xor_ps(v, _mm256_blend_ps(z, n, 0xf0)));
}
inline int32_t start_s4(int32_t sum) {
  return start_q4(sum);
}

// |w| as an unsigned byte, q with w's sign: 2 * 127 * 127 < 2^15.
template <int T>
inline void s8_sums(const uint8_t* w, size_t length, const int8_t* q, const int32_t*, I32 (&out)[T]) {
  const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) out[t] = izero();
  for (size_t j = 0; j < length / 4; j += 2) {
    if (T == 1) prefetch_ahead(w + 32 * j);
#pragma GCC unroll 2
    for (size_t k = j; k < j + 2; ++k) {
      const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + 32 * k));
      const __m256i a = _mm256_abs_epi8(v);
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t) {
        const __m256i x = broadcast(q + static_cast<size_t>(t) * length + 4 * k);
        out[t] = _mm256_add_epi32(out[t],
                                  _mm256_madd_epi16(_mm256_maddubs_epi16(a, _mm256_sign_epi8(x, v)), ones));
      }
    }
  }
}

struct S4Factors {
  __m256i factors;  // in both halves of each lane
  __m256i offsets;  // in the low half of each lane
};
inline S4Factors s4_factors(const uint8_t* codes) {
  const __m256i low = _mm256_set1_epi32(0xffff);
  const __m256i code = _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes)));
  const __m256i factor = _mm256_and_si256(code, _mm256_set1_epi32(15));
  const __m256i twice =
      _mm256_madd_epi16(factor, _mm256_srai_epi32(code, 4));  // a factor's high half is zero
  const __m256i offset = _mm256_srai_epi32(_mm256_add_epi32(twice, _mm256_set1_epi32(1)), 1);
  return {_mm256_or_si256(factor, _mm256_slli_epi32(factor, 16)), _mm256_and_si256(offset, low)};
}

// The 16-bit sums of dots_q4; the multiplication that adds their halves also takes the factor.
template <int T>
inline void s4_block(const uint8_t* w, S4Factors f, const int8_t* q, size_t stride, const int32_t* starts,
                     const int32_t* sums, size_t blocks, I32 (&out)[T]) {
  const __m256i low = _mm256_set1_epi8(15);
  __m256i acc[T];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) acc[t] = broadcast(starts + static_cast<size_t>(t) * blocks);
#pragma GCC unroll 8
  for (int j = 0; j < 4; ++j) {
    if (T == 1 && j % 2 == 0) prefetch_ahead(w + 32 * j);
    const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + 32 * j));
    const __m256i first = _mm256_and_si256(v, low);
    const __m256i second = _mm256_and_si256(_mm256_srli_epi16(v, 4), low);
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) {
      const int8_t* x = q + static_cast<size_t>(t) * stride + 4 * j;
      acc[t] = _mm256_add_epi16(acc[t], _mm256_maddubs_epi16(first, broadcast(x)));
      acc[t] = _mm256_add_epi16(acc[t], _mm256_maddubs_epi16(second, broadcast(x + 16)));
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
    const __m256i sum = broadcast(sums + static_cast<size_t>(t) * blocks);
    out[t] = _mm256_add_epi32(
        out[t], _mm256_add_epi32(_mm256_madd_epi16(acc[t], f.factors), _mm256_madd_epi16(sum, f.offsets)));
  }
}

}  // namespace
}  // namespace cortensor::compute
