// The weight types of a model file and the layout of their rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "arith/convert.h"

namespace cortensor::arith {

// Spec: A2. The values are the type numbers of GGUF.
enum class WeightType : std::uint32_t { f32 = 0, f16 = 1, q4_0 = 2, q8_0 = 8, bf16 = 30 };

// Elements of a quantised block, and elements of a segment of a sum.
inline constexpr std::size_t kBlock = 32;
inline constexpr std::size_t kSegment = 512;

// Spec: A2.1. 32 signed bytes with one binary16 scale; -128 may occur.
struct BlockQ8 {
  std::uint16_t scale;
  std::int8_t weights[kBlock];
};
static_assert(sizeof(BlockQ8) == 34 && alignof(BlockQ8) == 2);

// Spec: A2.2. 32 nibbles with one binary16 scale: element i < 16 is the low nibble of byte i, element i + 16
// the high nibble; the weight is the nibble less 8.
struct BlockQ4 {
  std::uint16_t scale;
  std::uint8_t nibbles[kBlock / 2];
};
static_assert(sizeof(BlockQ4) == 18 && alignof(BlockQ4) == 2);

inline int weight_of(const BlockQ8& block, std::size_t i) {
  return block.weights[i];
}
inline int weight_of(const BlockQ4& block, std::size_t i) {
  return i < 16 ? (block.nibbles[i] & 15) - 8 : (block.nibbles[i - 16] >> 4) - 8;
}

constexpr bool is_quantised(WeightType type) {
  return type == WeightType::q8_0 || type == WeightType::q4_0;
}

// Bytes of a row of `cols` elements. Quantised rows need cols % 32 == 0.
constexpr std::size_t row_bytes(WeightType type, std::size_t cols) {
  switch (type) {
    case WeightType::f32:
      return cols * 4;
    case WeightType::f16:
    case WeightType::bf16:
      return cols * 2;
    case WeightType::q8_0:
      return cols / kBlock * sizeof(BlockQ8);
    case WeightType::q4_0:
      return cols / kBlock * sizeof(BlockQ4);
  }
  return 0;
}

// A value of type T that lies at any address.
template <class T>
T read_at(const std::uint8_t* bytes, std::size_t index) {
  T value;
  std::memcpy(&value, bytes + index * sizeof(T), sizeof(T));
  return value;
}

// Spec: A2.3. One row as binary32; every value is exact (a product of 11 and 8 significant bits fits).
// row: row_bytes(type, out.size()) bytes.
inline void widen_row(WeightType type, const std::uint8_t* row, std::span<float> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    switch (type) {
      case WeightType::f32:
        out[i] = read_at<float>(row, i);
        break;
      case WeightType::f16:
        out[i] = f16_to_f32(read_at<std::uint16_t>(row, i));
        break;
      case WeightType::bf16:
        out[i] = bf16_to_f32(read_at<std::uint16_t>(row, i));
        break;
      case WeightType::q8_0: {
        const auto block = read_at<BlockQ8>(row, i / kBlock);
        out[i] = f16_to_f32(block.scale) * static_cast<float>(weight_of(block, i % kBlock));
        break;
      }
      case WeightType::q4_0: {
        const auto block = read_at<BlockQ4>(row, i / kBlock);
        out[i] = f16_to_f32(block.scale) * static_cast<float>(weight_of(block, i % kBlock));
        break;
      }
    }
  }
}

// Spec: A2.4. False if a scale or a weight is an infinity or a NaN: such a file is refused.
inline bool row_is_finite(WeightType type, const std::uint8_t* row, std::size_t cols) {
  for (std::size_t i = 0; i < cols; i += is_quantised(type) ? kBlock : 1) {
    bool finite = true;
    switch (type) {
      case WeightType::f32:
        finite = is_finite(read_at<float>(row, i));
        break;
      case WeightType::f16:
        finite = is_finite_f16(read_at<std::uint16_t>(row, i));
        break;
      case WeightType::bf16:
        finite = is_finite(bf16_to_f32(read_at<std::uint16_t>(row, i)));
        break;
      case WeightType::q8_0:
        finite = is_finite_f16(read_at<BlockQ8>(row, i / kBlock).scale);
        break;
      case WeightType::q4_0:
        finite = is_finite_f16(read_at<BlockQ4>(row, i / kBlock).scale);
        break;
    }
    if (!finite) return false;
  }
  return true;
}

}  // namespace cortensor::arith
