#include "plain_read.h"

#include <immintrin.h>

#include <cstring>

namespace cortensor::bench {

namespace {

constexpr std::size_t kAhead = 4096;

std::uint64_t read_words(const std::uint8_t* p, std::size_t size) {
  std::uint64_t sum[4] = {};
  for (std::size_t i = 0; i + 32 <= size; i += 32) {
    std::uint64_t words[4];
    std::memcpy(words, p + i, sizeof words);
    for (int j = 0; j < 4; ++j) sum[j] += words[j];
  }
  return sum[0] + sum[1] + sum[2] + sum[3];
}

__attribute__((target("avx2"))) std::uint64_t read_avx2(const std::uint8_t* p, std::size_t size) {
  __m256i sum[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),
                    _mm256_setzero_si256()};
  for (std::size_t i = 0; i + 128 <= size; i += 128) {
    _mm_prefetch(reinterpret_cast<const char*>(p + i + kAhead), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(p + i + kAhead + 64), _MM_HINT_T0);
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
      _mm_prefetch(reinterpret_cast<const char*>(p + i + kAhead + 64 * j), _MM_HINT_T0);
      sum[j] = _mm512_add_epi64(sum[j], _mm512_loadu_si512(p + i + 64 * j));
    }
  }
  const __m512i all = _mm512_add_epi64(_mm512_add_epi64(sum[0], sum[1]), _mm512_add_epi64(sum[2], sum[3]));
  std::uint64_t words[8], total = 0;
  std::memcpy(words, &all, sizeof words);
  for (const std::uint64_t word : words) total += word;
  return total;
}

}  // namespace

std::uint64_t plain_read(std::string_view isa, const std::uint8_t* bytes, std::size_t size) {
  if (isa == "avx512" || isa == "amx") return read_avx512(bytes, size);
  if (isa == "avx2") return read_avx2(bytes, size);
  return read_words(bytes, size);
}

}  // namespace cortensor::bench
