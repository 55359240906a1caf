// Weights for benchmarks: rows of any type, of random bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>

#include "arith/segment.h"
#include "base/bytes.h"

namespace cortensor::bench {

using arith::WeightType;

inline const std::map<std::string, WeightType> kTypes{
    {"q8_0", WeightType::q8_0}, {"q4_0", WeightType::q4_0}, {"q4_1", WeightType::q4_1},
    {"q5_0", WeightType::q5_0}, {"q5_1", WeightType::q5_1}, {"q2_k", WeightType::q2_k},
    {"q3_k", WeightType::q3_k}, {"q4_k", WeightType::q4_k}, {"q5_k", WeightType::q5_k},
    {"q6_k", WeightType::q6_k}, {"f16", WeightType::f16},   {"bf16", WeightType::bf16},
    {"f32", WeightType::f32},   {"s8", WeightType::s8},     {"s4", WeightType::s4}};

// Makes random bytes a row of a native type.
inline void tame_segments(WeightType type, std::uint8_t* row, std::size_t cols) {
  for (std::size_t at = 0; at < cols;) {
    const std::size_t length = arith::segment_length(cols - at);
    const float scale = 0x1p-10f;
    std::memcpy(row, &scale, sizeof scale);
    for (std::size_t i = 4; i < arith::segment_bytes(type, length); ++i) {
      if (type == WeightType::s8 && row[i] == 0x80) row[i] = 0x7f;
      if (type == WeightType::s4 && i < 4 + length / arith::kBlock) row[i] &= 0x17;
    }
    row += arith::segment_bytes(type, length);
    at += length;
  }
}

// Random bytes whose floats are all small and finite.
inline Bytes random_rows(WeightType type, std::size_t rows, std::size_t cols) {
  Bytes bytes(rows * arith::row_bytes(type, cols));
  std::uint64_t state = 88172645463325252u;
  for (auto& byte : bytes) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    byte = static_cast<std::uint8_t>(state >> 32);
  }
  if (arith::is_segmented(type)) {
    for (std::size_t r = 0; r < rows; ++r)
      tame_segments(type, &bytes[r * arith::row_bytes(type, cols)], cols);
    return bytes;
  }
  const auto tame = [](std::uint8_t& top) { top = static_cast<std::uint8_t>(top & 0x83) | 0x18; };
  const arith::FileBlock block = arith::file_block(type);
  for (std::size_t i = 0; i < bytes.size(); i += block.bytes) {
    if (block.scales == 0) tame(bytes[i + block.bytes - 1]);
    for (std::size_t s = 0; s < block.scales; ++s) tame(bytes[i + block.first_scale + 2 * s + 1]);
  }
  return bytes;
}

}  // namespace cortensor::bench
