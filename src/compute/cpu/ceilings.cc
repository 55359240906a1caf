#include "compute/cpu/ceilings.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include <cstring>

namespace cortensor::compute {

namespace {

std::uint64_t read_words(const std::uint8_t* p, std::size_t size) {
  std::uint64_t sum[4] = {};
  for (std::size_t i = 0; i + 32 <= size; i += 32) {
    std::uint64_t words[4];
    std::memcpy(words, p + i, sizeof words);
    for (int j = 0; j < 4; ++j) sum[j] += words[j];
  }
  return sum[0] + sum[1] + sum[2] + sum[3];
}

#if defined(__x86_64__)

__attribute__((target("avx2"))) std::uint64_t read_avx2(const std::uint8_t* p, std::size_t size) {
  __m256i sum[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),
                    _mm256_setzero_si256()};
  for (std::size_t i = 0; i + 128 <= size; i += 128) {
    _mm_prefetch(reinterpret_cast<const char*>(p + i + 4096), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(p + i + 4160), _MM_HINT_T0);
#pragma GCC unroll 4
    for (std::size_t j = 0; j < 4; ++j)
      sum[j] = _mm256_add_epi64(sum[j], _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + i + 32 * j)));
  }
  const __m256i all = _mm256_add_epi64(_mm256_add_epi64(sum[0], sum[1]), _mm256_add_epi64(sum[2], sum[3]));
  std::uint64_t words[4];
  std::memcpy(words, &all, sizeof words);
  return words[0] + words[1] + words[2] + words[3];
}

__attribute__((target("avx512f"))) std::uint64_t read_avx512(const std::uint8_t* p, std::size_t size) {
  __m512i sum[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(),
                    _mm512_setzero_si512()};
  for (std::size_t i = 0; i + 256 <= size; i += 256) {
#pragma GCC unroll 4
    for (std::size_t j = 0; j < 4; ++j) {
      _mm_prefetch(reinterpret_cast<const char*>(p + i + 16384 + 64 * j), _MM_HINT_T1);
      sum[j] = _mm512_add_epi64(sum[j], _mm512_loadu_si512(p + i + 64 * j));
    }
  }
  const __m512i all = _mm512_add_epi64(_mm512_add_epi64(sum[0], sum[1]), _mm512_add_epi64(sum[2], sum[3]));
  std::uint64_t words[8], total = 0;
  std::memcpy(words, &all, sizeof words);
  for (const std::uint64_t word : words) total += word;
  return total;
}

// The inputs are made opaque in every round, so that no product can be moved out of the loop.
__attribute__((target("avx2"))) std::uint64_t products_avx2(std::uint64_t rounds) {
  constexpr int kSums = 8;
  __m256i sums[kSums], a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(5);
  const __m256i ones = _mm256_set1_epi16(1);
  for (auto& sum : sums) sum = _mm256_setzero_si256();
  for (std::uint64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 8
    for (int k = 0; k < kSums; ++k) {
      asm volatile("" : "+x"(a));
      sums[k] = _mm256_add_epi32(sums[k], _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones));
    }
  }
  for (auto& sum : sums) asm volatile("" : : "x"(sum));
  return rounds * kSums * 32;
}

__attribute__((target("avx512f,avx512vnni"))) std::uint64_t products_avx512(std::uint64_t rounds) {
  constexpr int kSums = 12;
  __m512i sums[kSums];
  const __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(5);
#pragma GCC unroll 12
  for (auto& sum : sums) sum = _mm512_setzero_si512();
  for (std::uint64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int k = 0; k < kSums; ++k) {
      sums[k] = _mm512_dpbusd_epi32(sums[k], a, b);
      asm volatile("" : "+v"(sums[k]));
    }
  }
  return rounds * kSums * 64;
}

__attribute__((target("avx2,fma"))) std::uint64_t fmas_avx2(std::uint64_t rounds) {
  constexpr int kSums = 12;
  __m256 sums[kSums];
  const __m256 a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(0.25f);
#pragma GCC unroll 12
  for (auto& sum : sums) sum = _mm256_setzero_ps();
  for (std::uint64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int k = 0; k < kSums; ++k) {
      sums[k] = _mm256_fmadd_ps(a, b, sums[k]);
      asm volatile("" : "+x"(sums[k]));
    }
  }
  return rounds * kSums * 8;
}

__attribute__((target("avx512f"))) std::uint64_t fmas_avx512(std::uint64_t rounds) {
  constexpr int kSums = 12;
  __m512 sums[kSums];
  const __m512 a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(0.25f);
#pragma GCC unroll 12
  for (auto& sum : sums) sum = _mm512_setzero_ps();
  for (std::uint64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int k = 0; k < kSums; ++k) {
      sums[k] = _mm512_fmadd_ps(a, b, sums[k]);
      asm volatile("" : "+v"(sums[k]));
    }
  }
  return rounds * kSums * 16;
}

__attribute__((target("amx-tile,amx-int8"))) std::uint64_t products_amx(std::uint64_t rounds) {
  struct alignas(64) {
    std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
    std::uint16_t row_bytes[16] = {};
    std::uint8_t rows[16] = {};
  } shape;
  for (int tile = 0; tile < 8; ++tile) {
    shape.row_bytes[tile] = 64;
    shape.rows[tile] = 16;
  }
  __asm__ volatile("ldtilecfg %0" ::"m"(shape) : "memory");  // the intrinsic hides the shape's stores
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
  for (std::uint64_t i = 0; i < rounds; ++i) {
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
    _tile_dpbssd(2, 5, 6);
    _tile_dpbssd(3, 5, 7);
  }
  _tile_release();
  return rounds * 4 * 16 * 16 * 64;
}

#elif defined(__aarch64__)

std::uint64_t read_neon(const std::uint8_t* p, std::size_t size) {
  uint64x2_t sum[4] = {};
  for (std::size_t i = 0; i + 64 <= size; i += 64) {
#pragma GCC unroll 4
    for (std::size_t j = 0; j < 4; ++j)
      sum[j] = vaddq_u64(sum[j], vreinterpretq_u64_u8(vld1q_u8(p + i + 16 * j)));
  }
  return vaddvq_u64(vaddq_u64(vaddq_u64(sum[0], sum[1]), vaddq_u64(sum[2], sum[3])));
}

__attribute__((target("arch=armv8.2-a+dotprod"))) std::uint64_t products_neon(std::uint64_t rounds) {
  constexpr int kSums = 16;
  int32x4_t sums[kSums] = {};
  const int8x16_t a = vdupq_n_s8(3), b = vdupq_n_s8(5);
  for (std::uint64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 16
    for (int k = 0; k < kSums; ++k) {
      sums[k] = vdotq_s32(sums[k], a, b);
      asm volatile("" : "+w"(sums[k]));
    }
  }
  return rounds * kSums * 16;
}

std::uint64_t fmas_neon(std::uint64_t rounds) {
  constexpr int kSums = 16;
  float32x4_t sums[kSums] = {};
  const float32x4_t a = vdupq_n_f32(0.5f), b = vdupq_n_f32(0.25f);
  for (std::uint64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 16
    for (int k = 0; k < kSums; ++k) {
      sums[k] = vfmaq_f32(sums[k], a, b);
      asm volatile("" : "+w"(sums[k]));
    }
  }
  return rounds * kSums * 4;
}

#endif

}  // namespace

std::uint64_t plain_read(std::string_view isa, const std::uint8_t* bytes, std::size_t size) {
#if defined(__x86_64__)
  if (isa == "avx512" || isa == "amx") return read_avx512(bytes, size);
  if (isa == "avx2") return read_avx2(bytes, size);
#elif defined(__aarch64__)
  if (isa == "neon") return read_neon(bytes, size);
#endif
  (void)isa;
  return read_words(bytes, size);
}

std::uint64_t plain_products(std::string_view isa, std::uint64_t rounds) {
#if defined(__x86_64__)
  if (isa == "amx") return products_amx(rounds);
  if (isa == "avx512") return products_avx512(rounds);
  if (isa == "avx2") return products_avx2(rounds);
#elif defined(__aarch64__)
  if (isa == "neon") return products_neon(rounds);
#endif
  (void)isa;
  (void)rounds;
  return 0;
}

std::uint64_t plain_fmas(std::string_view isa, std::uint64_t rounds) {
#if defined(__x86_64__)
  if (isa == "avx512" || isa == "amx") return fmas_avx512(rounds);
  if (isa == "avx2") return fmas_avx2(rounds);
#elif defined(__aarch64__)
  if (isa == "neon") return fmas_neon(rounds);
#endif
  (void)isa;
  (void)rounds;
  return 0;
}

}  // namespace cortensor::compute
