#include "compute/cpu/packing.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace cortensor::compute {

using arith::FileBlock;
using arith::kBlock;
using arith::WeightType;

namespace {

// What a plane keeps of an element, in bits; its dwords a block are as many.
enum class Plane : std::size_t { none = 0, bits = 1, pairs = 2, nibbles = 4, bytes = 8 };

// The packed form of a type: the planes of its integers, low bits first, what makes them unsigned, and where
// in the file's block the sub-scales are.
struct Form {
  Plane low, high;
  int bias;
  std::size_t sub_at, sub_bytes;
};

Form form_of(WeightType type) {
  switch (type) {
    case WeightType::q4_0:
      return {Plane::nibbles, Plane::none, 8, 0, 0};
    case WeightType::q4_1:
      return {Plane::nibbles, Plane::none, 0, 0, 0};
    case WeightType::q5_0:
      return {Plane::nibbles, Plane::bits, 16, 0, 0};
    case WeightType::q5_1:
      return {Plane::nibbles, Plane::bits, 0, 0, 0};
    case WeightType::q2_k:
      return {Plane::pairs, Plane::none, 0, offsetof(arith::BlockQ2K, sub), 16};
    case WeightType::q3_k:
      return {Plane::pairs, Plane::bits, 4, offsetof(arith::BlockQ3K, sub), 12};
    case WeightType::q4_k:
      return {Plane::nibbles, Plane::none, 0, offsetof(arith::BlockQ4K, sub), 12};
    case WeightType::q5_k:
      return {Plane::nibbles, Plane::bits, 0, offsetof(arith::BlockQ5K, sub), 12};
    case WeightType::q6_k:
      return {Plane::nibbles, Plane::pairs, 32, offsetof(arith::BlockQ6K, sub), 16};
    default:
      return {Plane::bytes, Plane::none, 0, 0, 0};
  }
}

std::size_t element_bytes(WeightType type) {
  return arith::file_block(type).bytes;
}

// Bytes of a row of a unit: of its scales, and of each of its blocks.
struct UnitShape {
  std::size_t blocks, scales, weights;
  std::size_t bytes() const { return scales + blocks * weights; }
};
UnitShape unit_of(WeightType type) {
  const Form form = form_of(type);
  const std::size_t weights = 4 * (static_cast<std::size_t>(form.low) + static_cast<std::size_t>(form.high));
  const FileBlock file = arith::file_block(type);
  if (file.elements == kBlock) return {2, 2 * 2 * file.scales, weights};
  return {file.elements / kBlock, 4 + form.sub_bytes, weights};
}

// Where a plane keeps element i of a block: the byte among those of a row, and the lowest bit in it.
struct Place {
  std::size_t byte, bit;
};
constexpr Place place_of(Plane plane, std::size_t i) {
  switch (plane) {
    case Plane::nibbles:
      return {i % 16, i / 16 * 4};
    case Plane::pairs:
      return {i / 16 * 4 + i % 4, i / 4 % 4 * 2};
    case Plane::bits:
      return {i % 4, i / 4};
    default:
      return {i, 0};
  }
}

std::size_t bytes_of_group(WeightType type, std::size_t cols, std::size_t width) {
  if (!arith::is_quantised(type)) return 4 * width * cols * element_bytes(type);
  const UnitShape unit = unit_of(type);
  return PackedMatrix::padded_blocks(cols) / unit.blocks * width * unit.bytes();
}

using Integers = std::array<std::uint8_t, kBlock>;

// The bytes of a plane of one row's block; they lie in the group four at a time, `stride` bytes apart.
// Loading a model is mostly this: places are constants.
template <Plane plane>
void put(const Integers& integers, unsigned shift, std::uint8_t* to, std::size_t stride) {
  Integers packed{};
  constexpr unsigned mask = (1u << static_cast<unsigned>(plane)) - 1;
#pragma GCC unroll 32
  for (std::size_t i = 0; i < kBlock; ++i) {
    const Place place = place_of(plane, i);
    packed[place.byte] |= static_cast<std::uint8_t>((integers[i] >> shift & mask) << place.bit);
  }
  for (std::size_t k = 0; k < static_cast<std::size_t>(plane); ++k)
    std::memcpy(to + k * stride, &packed[4 * k], 4);
}

void put_plane(Plane plane, const Integers& integers, unsigned shift, std::uint8_t* to, std::size_t stride) {
  switch (plane) {
    case Plane::none:
      return;
    case Plane::bits:
      return put<Plane::bits>(integers, shift, to, stride);
    case Plane::pairs:
      return put<Plane::pairs>(integers, shift, to, stride);
    case Plane::nibbles:
      return put<Plane::nibbles>(integers, shift, to, stride);
    case Plane::bytes:
      return put<Plane::bytes>(integers, shift, to, stride);
  }
}

void add_plane(Plane plane, const std::uint8_t* from, std::size_t stride, unsigned shift,
               Integers& integers) {
  Integers packed{};
  for (std::size_t k = 0; k < static_cast<std::size_t>(plane); ++k)
    std::memcpy(&packed[4 * k], from + k * stride, 4);
  const unsigned mask = (1u << static_cast<unsigned>(plane)) - 1;
  for (std::size_t i = 0; i < kBlock; ++i) {
    const Place place = place_of(plane, i);
    integers[i] |= static_cast<std::uint8_t>((packed[place.byte] >> place.bit & mask) << shift);
  }
}

}  // namespace

PackedMatrix::PackedMatrix(WeightType type, std::size_t rows, std::size_t cols, std::size_t width)
    : CpuMatrix(type, rows, cols, arith::is_quantised(type) ? width : 4 * width,
                bytes_of_group(type, cols, width)),
      width_(width) {}

bool PackedMatrix::pack(const std::uint8_t* file_rows, std::size_t first, std::size_t end) {
  const std::size_t stride = arith::row_bytes(type(), cols());
  for (std::size_t group = first; group < end; ++group) {
    std::uint8_t* target = group_data(group);
    std::memset(target, 0, group_bytes());
    for (std::size_t lane = 0; lane < group_rows() && group * group_rows() + lane < rows(); ++lane) {
      const std::uint8_t* row = file_rows + (group * group_rows() + lane) * stride;
      if (!arith::row_is_finite(type(), row, cols())) return false;
      if (arith::is_quantised(type()))
        pack_quantised(row, target, lane);
      else
        pack_regular(row, target, lane);
    }
  }
  return true;
}

void PackedMatrix::pack_quantised(const std::uint8_t* file_row, std::uint8_t* group, std::size_t lane) {
  const Form form = form_of(type());
  const UnitShape unit = unit_of(type());
  const FileBlock file = arith::file_block(type());
  const std::size_t stride = 4 * width_;
  for (std::size_t b = 0; b < cols() / kBlock; ++b) {
    std::uint8_t* const target = group + b / unit.blocks * width_ * unit.bytes();
    const std::uint8_t* const block = file_row + b * kBlock / file.elements * file.bytes;
    const std::uint8_t* const scales = block + file.first_scale;
    if (unit.blocks == 2) {
      for (std::size_t s = 0; s < file.scales; ++s)
        std::memcpy(target + (2 * s + b % 2) * 2 * width_ + 2 * lane, scales + 2 * s, 2);
    } else if (b % unit.blocks == 0) {
      if (file.scales == 2) {
        for (std::size_t s = 0; s < 2; ++s)
          std::memcpy(target + s * 2 * width_ + 2 * lane, scales + 2 * s, 2);
      } else {
        const float scale = arith::f16_to_f32(arith::read_at<std::uint16_t>(scales, 0));
        std::memcpy(target + 4 * lane, &scale, 4);
      }
      for (std::size_t k = 0; k < form.sub_bytes / 4; ++k)
        std::memcpy(target + (k + 1) * stride + 4 * lane, block + form.sub_at + 4 * k, 4);
    }
    const arith::SumBlock sum = arith::sum_block(type(), file_row, b);
    Integers integers{};
    for (std::size_t i = 0; i < kBlock; ++i)
      integers[i] = static_cast<std::uint8_t>(sum.weights[i] + form.bias);
    std::uint8_t* const low = target + width_ * (unit.scales + b % unit.blocks * unit.weights) + 4 * lane;
    put_plane(form.low, integers, 0, low, stride);
    put_plane(form.high, integers, static_cast<unsigned>(form.low),
              low + static_cast<std::size_t>(form.low) * stride, stride);
  }
}

void PackedMatrix::pack_regular(const std::uint8_t* file_row, std::uint8_t* group, std::size_t lane) {
  const std::size_t size = element_bytes(type());
  for (std::size_t k = 0; k < cols(); ++k)
    std::memcpy(group + (k * group_rows() + lane) * size, file_row + k * size, size);
}

void PackedMatrix::widen_row(std::size_t row, float* out) const {
  const std::uint8_t* group = group_data(row / group_rows());
  const std::size_t lane = row % group_rows();
  if (arith::is_quantised(type())) return widen_quantised(group, lane, out);
  const std::size_t size = element_bytes(type());
  for (std::size_t k = 0; k < cols(); ++k)
    arith::widen_row(type(), group + (k * group_rows() + lane) * size, {out + k, 1});
}

// The scales go back into a block of the file's form, whose meaning arith knows.
void PackedMatrix::widen_quantised(const std::uint8_t* group, std::size_t lane, float* out) const {
  const Form form = form_of(type());
  const UnitShape unit = unit_of(type());
  const FileBlock file = arith::file_block(type());
  const std::size_t stride = 4 * width_;
  for (std::size_t b = 0; b < cols() / kBlock; ++b) {
    const std::uint8_t* const source = group + b / unit.blocks * width_ * unit.bytes();
    std::uint8_t block[arith::kSuperBlock] = {};
    std::uint8_t* const scales = block + file.first_scale;
    if (unit.blocks == 2) {
      for (std::size_t s = 0; s < file.scales; ++s)
        std::memcpy(scales + 2 * s, source + (2 * s + b % 2) * 2 * width_ + 2 * lane, 2);
    } else {
      if (file.scales == 2) {
        for (std::size_t s = 0; s < 2; ++s)
          std::memcpy(scales + 2 * s, source + s * 2 * width_ + 2 * lane, 2);
      } else {
        const std::uint16_t scale = arith::f32_to_f16(arith::read_at<float>(source, lane));
        std::memcpy(scales, &scale, 2);
      }
      for (std::size_t k = 0; k < form.sub_bytes / 4; ++k)
        std::memcpy(block + form.sub_at + 4 * k, source + (k + 1) * stride + 4 * lane, 4);
    }
    arith::SumBlock sum = arith::sum_block(type(), block, b % (file.elements / kBlock));
    Integers integers{};
    const std::uint8_t* const low =
        source + width_ * (unit.scales + b % unit.blocks * unit.weights) + 4 * lane;
    add_plane(form.low, low, stride, 0, integers);
    add_plane(form.high, low + static_cast<std::size_t>(form.low) * stride, stride,
              static_cast<unsigned>(form.low), integers);
    for (std::size_t i = 0; i < kBlock; ++i) {
      sum.weights[i] = static_cast<std::int8_t>(integers[i] - form.bias);
      out[b * kBlock + i] = arith::value_of(sum, i);
    }
  }
}

}  // namespace cortensor::compute
