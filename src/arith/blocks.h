// The weight types of a model file: how large their rows are, where their scales lie, what an element is
// worth.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "arith/block_layouts.h"
#include "arith/convert.h"
#include "arith/weight_type.h"

namespace cortensor::arith {

// Elements of a block of a sum, and of a segment.
inline constexpr std::size_t kBlock = 32;
inline constexpr std::size_t kSegment = 512;

// A unit of a row in the file. Every binary16 number in a quantised one is a scale; they lie side by side.
struct FileBlock {
  std::size_t elements = 0;
  std::size_t bytes = 0;
  std::size_t first_scale = 0;
  std::size_t scales = 0;
};

// All zero for a number that is no type. A row of a native type is made of segments, not of blocks
// (segment.h); all that this says of them is that their columns are a multiple of 32.
constexpr FileBlock file_block(WeightType type) {
  switch (type) {
    case WeightType::f32:
      return {1, 4};
    case WeightType::f16:
    case WeightType::bf16:
      return {1, 2};
    case WeightType::q4_0:
      return {kBlock, sizeof(BlockQ4), 0, 1};
    case WeightType::q4_1:
      return {kBlock, sizeof(BlockQ41), 0, 2};
    case WeightType::q5_0:
      return {kBlock, sizeof(BlockQ50), 0, 1};
    case WeightType::q5_1:
      return {kBlock, sizeof(BlockQ51), 0, 2};
    case WeightType::q8_0:
      return {kBlock, sizeof(BlockQ8), 0, 1};
    case WeightType::q2_k:
      return {kSuperBlock, sizeof(BlockQ2K), offsetof(BlockQ2K, scale), 2};
    case WeightType::q3_k:
      return {kSuperBlock, sizeof(BlockQ3K), offsetof(BlockQ3K, scale), 1};
    case WeightType::q4_k:
      return {kSuperBlock, sizeof(BlockQ4K), 0, 2};
    case WeightType::q5_k:
      return {kSuperBlock, sizeof(BlockQ5K), 0, 2};
    case WeightType::q6_k:
      return {kSuperBlock, sizeof(BlockQ6K), offsetof(BlockQ6K, scale), 1};
    case WeightType::s4:
    case WeightType::s8:
      return {kBlock};
  }
  return {};
}

constexpr bool is_quantised(WeightType type) {
  return file_block(type).scales > 0;
}

constexpr bool is_segmented(WeightType type) {
  return type == WeightType::s8 || type == WeightType::s4;
}

// Spec: A17.1. Segments of a row of `cols` elements: one for each 512, one for each power of two in the rest.
constexpr std::size_t segment_count(std::size_t cols) {
  return cols / kSegment + static_cast<std::size_t>(std::popcount(cols % kSegment));
}

// Bytes of a row of `cols` elements, a multiple of file_block(type).elements.
constexpr std::size_t row_bytes(WeightType type, std::size_t cols) {
  if (type == WeightType::s8) return cols + 4 * segment_count(cols);
  if (type == WeightType::s4) return cols / 2 + cols / kBlock + 4 * segment_count(cols);
  const FileBlock block = file_block(type);
  return block.elements == 0 ? 0 : cols / block.elements * block.bytes;
}

// A value of type T that lies at any address.
template <class T>
T read_at(const std::uint8_t* bytes, std::size_t index) {
  T value;
  std::memcpy(&value, bytes + index * sizeof(T), sizeof(T));
  return value;
}

// Spec: A2. Block b of a quantised row.
inline SumBlock sum_block(WeightType type, const std::uint8_t* row, std::size_t b) {
  switch (type) {
    case WeightType::q4_0:
      return sum_block(read_at<BlockQ4>(row, b));
    case WeightType::q4_1:
      return sum_block(read_at<BlockQ41>(row, b));
    case WeightType::q5_0:
      return sum_block(read_at<BlockQ50>(row, b));
    case WeightType::q5_1:
      return sum_block(read_at<BlockQ51>(row, b));
    case WeightType::q8_0:
      return sum_block(read_at<BlockQ8>(row, b));
    case WeightType::q2_k:
      return sum_block(read_at<BlockQ2K>(row, b / 8), b % 8);
    case WeightType::q3_k:
      return sum_block(read_at<BlockQ3K>(row, b / 8), b % 8);
    case WeightType::q4_k:
      return sum_block(read_at<BlockQ4K>(row, b / 8), b % 8);
    case WeightType::q5_k:
      return sum_block(read_at<BlockQ5K>(row, b / 8), b % 8);
    case WeightType::q6_k:
      return sum_block(read_at<BlockQ6K>(row, b / 8), b % 8);
    case WeightType::f32:
    case WeightType::f16:
    case WeightType::bf16:
    case WeightType::s4:
    case WeightType::s8:
      break;
  }
  return {};
}

// Spec: A2.4. The products of scale, sub-scale and integer are exact, so there is one rounding at most.
inline float value_of(const SumBlock& block, std::size_t i) {
  const float step = block.scale * static_cast<float>(block.sub[i / kHalfBlock]);
  const auto integer = static_cast<float>(block.weights[i]);
  if (block.groups == 0) return step * integer;
  return std::fma(step, integer, block.offset[block.groups == 1 ? 0 : i / kHalfBlock]);
}

// Spec: A2.4. One row of a type that is not native as binary32. row: row_bytes(type, out.size()) bytes.
inline void widen_row(WeightType type, const std::uint8_t* row, std::span<float> out) {
  SumBlock block;
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
      default:
        if (i % kBlock == 0) block = sum_block(type, row, i / kBlock);
        out[i] = value_of(block, i % kBlock);
    }
  }
}

// Spec: A2.5. Not for native types. False if a scale or a weight is an infinity or a NaN: such a file is
// refused.
inline bool row_is_finite(WeightType type, const std::uint8_t* row, std::size_t cols) {
  const FileBlock shape = file_block(type);
  for (std::size_t at = 0; at < row_bytes(type, cols); at += shape.bytes) {
    bool finite = true;
    if (type == WeightType::f32) finite = is_finite(read_at<float>(row + at, 0));
    if (type == WeightType::bf16) finite = is_finite(bf16_to_f32(read_at<std::uint16_t>(row + at, 0)));
    if (type == WeightType::f16) finite = is_finite_f16(read_at<std::uint16_t>(row + at, 0));
    for (std::size_t s = 0; s < shape.scales; ++s)
      finite &= is_finite_f16(read_at<std::uint16_t>(row + at + shape.first_scale, s));
    if (!finite) return false;
  }
  return true;
}

}  // namespace cortensor::arith
