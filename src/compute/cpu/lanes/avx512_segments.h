// The words of generic/segments.inc on AVX-512.
#pragma once

#include "compute/cpu/lanes/avx512.h"

namespace cortensor::compute {
namespace {

inline F32 change_signs(F32 v, const uint32_t* p) {
  return _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(v), _mm512_load_si512(p)));
}
// A stage takes a + b and a - b: the swapped vector plus the vector with every second operand negated.
inline F32 add_negating(F32 swapped, F32 v, __mmask16 second) {
  const __m512i bits = _mm512_castps_si512(v), sign = _mm512_set1_epi32(static_cast<int>(0x80000000u));
  return _mm512_add_ps(swapped, _mm512_castsi512_ps(_mm512_mask_xor_epi32(bits, second, bits, sign)));
}
inline F32 rotate_lanes(F32 v) {
  v = add_negating(_mm512_permute_ps(v, 0xb1), v, 0xaaaa);
  v = add_negating(_mm512_permute_ps(v, 0x4e), v, 0xcccc);
  v = add_negating(_mm512_shuffle_f32x4(v, v, 0xb1), v, 0xf0f0);
  return add_negating(_mm512_shuffle_f32x4(v, v, 0x4e), v, 0xff00);
}
inline int32_t start_s4(int32_t sum) {
  return -8 * sum;
}

template <int T>
inline void s8_sums(const uint8_t* w, size_t length, const int8_t* q, const int32_t* starts, I32 (&out)[T]) {
  const __m512i top = _mm512_set1_epi8(static_cast<char>(0x80));
  __m512i odd[T];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
    out[t] = broadcast(starts + t);
    odd[t] = _mm512_setzero_si512();
  }
  for (size_t j = 0; j < length / 4; j += 2) {
    if (T == 1) {
      prefetch_ahead(w + 64 * j);
      prefetch_ahead(w + 64 * j + 64);
    }
    const __m512i a = _mm512_xor_si512(_mm512_loadu_si512(w + 64 * j), top);
    const __m512i b = _mm512_xor_si512(_mm512_loadu_si512(w + 64 * j + 64), top);
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) {
      const int8_t* x = q + static_cast<size_t>(t) * length + 4 * j;
      out[t] = _mm512_dpbusd_epi32(out[t], a, broadcast(x));
      odd[t] = _mm512_dpbusd_epi32(odd[t], b, broadcast(x + 4));
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) out[t] = _mm512_add_epi32(out[t], odd[t]);
}

// Of each lane: the factor in the low half, the offset in the high one.
using S4Factors = __m512i;
inline S4Factors s4_factors(const uint8_t* codes) {
  const __m512i code = _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes)));
  const __m512i factor = _mm512_and_si512(code, _mm512_set1_epi32(15));
  const __m512i twice =
      _mm512_madd_epi16(factor, _mm512_srai_epi32(code, 4));  // a factor's high half is zero
  const __m512i offset = _mm512_srai_epi32(_mm512_add_epi32(twice, _mm512_set1_epi32(1)), 1);
  return _mm512_or_si512(factor, _mm512_slli_epi32(offset, 16));
}

// A sum of products with centred nibbles fits 16 bits, |sum| <= 32 * 8 * 127: it meets the factor beside the
// sum of q, which meets the offset.
template <int T>
inline void s4_block(const uint8_t* w, S4Factors f, const int8_t* q, size_t stride, const int32_t* starts,
                     const int32_t* sums, size_t blocks, I32 (&out)[T]) {
  const __m512i low = _mm512_set1_epi8(15);
  __m512i even[T], odd[T];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
    even[t] = broadcast(starts + static_cast<size_t>(t) * blocks);
    odd[t] = _mm512_setzero_si512();
  }
#pragma GCC unroll 8
  for (int j = 0; j < 4; ++j) {
    if (T == 1) prefetch_ahead(w + 64 * j);
    const __m512i v = _mm512_loadu_si512(w + 64 * j);
    const __m512i first = _mm512_and_si512(v, low);
    const __m512i second = _mm512_and_si512(_mm512_srli_epi16(v, 4), low);
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) {
      const int8_t* x = q + static_cast<size_t>(t) * stride + 4 * j;
      even[t] = _mm512_dpbusd_epi32(even[t], first, broadcast(x));
      odd[t] = _mm512_dpbusd_epi32(odd[t], second, broadcast(x + 16));
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
    const __m512i sum = _mm512_slli_epi32(broadcast(sums + static_cast<size_t>(t) * blocks), 16);
    const __m512i both = _mm512_mask_blend_epi16(0xaaaaaaaau, _mm512_add_epi32(even[t], odd[t]), sum);
    out[t] = _mm512_add_epi32(out[t], _mm512_madd_epi16(both, f));
  }
}

}  // namespace
}  // namespace cortensor::compute
