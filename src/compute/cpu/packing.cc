#include "compute/cpu/packing.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <type_traits>

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

constexpr Form form_of(WeightType type) {
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
  constexpr std::size_t bytes() const { return scales + blocks * weights; }
};
constexpr UnitShape unit_of(WeightType type) {
  const Form form = form_of(type);
  const std::size_t weights = 4 * (static_cast<std::size_t>(form.low) + static_cast<std::size_t>(form.high));
  const FileBlock file = arith::file_block(type);
  if (file.elements == kBlock) return {2, 2 * 2 * file.scales, weights};
  return {file.elements / kBlock, 4 + form.sub_bytes, weights};
}

std::size_t bytes_of_group(WeightType type, std::size_t cols, std::size_t width) {
  if (!arith::is_quantised(type)) return 4 * width * cols * element_bytes(type);
  const UnitShape unit = unit_of(type);
  return PackedMatrix::padded_blocks(cols) / unit.blocks * width * unit.bytes();
}

// The integers of a block as the file has them, which is unsigned but in Q8_0: in the bytes of dword k are
// elements 4k .. 4k + 3.
using Quads = std::array<std::uint32_t, kBlock / 4>;

constexpr std::uint32_t kOnes = 0x01010101;

// Bits [shift, shift + bits) of each byte of dword k, which become the lowest.
std::uint32_t part(const std::uint8_t* bytes, std::size_t k, unsigned shift, unsigned bits) {
  return arith::read_at<std::uint32_t>(bytes, k) >> shift & kOnes * ((1u << bits) - 1);
}

// Dword k of block b of those in the file's block.
template <class Block>
std::uint32_t quad(const std::uint8_t* block, std::size_t b, std::size_t k) {
  using namespace arith;
  const auto shift = static_cast<unsigned>(b);
  if constexpr (std::is_same_v<Block, BlockQ8>) {
    return read_at<std::uint32_t>(block + offsetof(Block, weights), k);
  } else if constexpr (std::is_same_v<Block, BlockQ4> || std::is_same_v<Block, BlockQ41>) {
    return part(block + offsetof(Block, nibbles), k % 4, k < 4 ? 0 : 4, 4);
  } else if constexpr (std::is_same_v<Block, BlockQ50> || std::is_same_v<Block, BlockQ51>) {
    const std::uint32_t fifth = read_at<std::uint32_t>(block + offsetof(Block, fifth), 0) >> 4 * k & 15;
    // Times 1 + 2^7 + 2^14 + 2^21: bit i comes to lie at 8i.
    return part(block + offsetof(Block, nibbles), k % 4, k < 4 ? 0 : 4, 4) | (fifth * 0x00204081 & kOnes)
                                                                                 << 4;
  } else if constexpr (std::is_same_v<Block, BlockQ2K>) {
    return part(block + offsetof(Block, pairs) + b / 4 * 32, k, shift % 4 * 2, 2);
  } else if constexpr (std::is_same_v<Block, BlockQ3K>) {
    return part(block + offsetof(Block, pairs) + b / 4 * 32, k, shift % 4 * 2, 2) |
           part(block + offsetof(Block, third), k, shift, 1) << 2;
  } else if constexpr (std::is_same_v<Block, BlockQ4K>) {
    return part(block + offsetof(Block, nibbles) + b / 2 * 32, k, shift % 2 * 4, 4);
  } else if constexpr (std::is_same_v<Block, BlockQ5K>) {
    return part(block + offsetof(Block, nibbles) + b / 2 * 32, k, shift % 2 * 4, 4) |
           part(block + offsetof(Block, fifth), k, shift, 1) << 4;
  } else {
    static_assert(std::is_same_v<Block, BlockQ6K>);
    return part(block + offsetof(Block, nibbles) + b / 4 * 64 + b % 2 * 32, k, shift % 4 / 2 * 4, 4) |
           part(block + offsetof(Block, pairs) + b / 4 * 32, k, shift % 4 * 2, 2) << 4;
  }
}

// A plane of one row's block; its dwords lie `stride` bytes apart.
template <Plane plane>
void put_plane(const Quads& quads, unsigned shift, std::uint8_t* to, std::size_t stride) {
  constexpr auto kDwords = static_cast<std::size_t>(plane);
  constexpr std::size_t kShared = kDwords == 0 ? 0 : 8 / kDwords;  // quads to a dword
#pragma GCC unroll 8
  for (std::size_t d = 0; d < kDwords; ++d) {
    std::uint32_t packed = 0;
#pragma GCC unroll 8
    for (std::size_t j = 0; j < kShared; ++j) {
      const std::size_t k = plane == Plane::nibbles ? d + 4 * j : kShared * d + j;
      packed |= (quads[k] >> shift & kOnes * ((1u << kDwords) - 1)) << kDwords * j;
    }
    std::memcpy(to + d * stride, &packed, 4);
  }
}

// The inverse, for one row that is looked up.
void add_plane(Plane plane, const std::uint8_t* from, std::size_t stride, unsigned shift, Quads& quads) {
  const auto dwords = static_cast<std::size_t>(plane);
  for (std::size_t k = 0; dwords > 0 && k < quads.size(); ++k) {
    const std::size_t shared = 8 / dwords;
    const std::size_t d = plane == Plane::nibbles ? k % 4 : k / shared;
    const std::size_t j = plane == Plane::nibbles ? k / 4 : k % shared;
    quads[k] |= part(from + d * stride, 0, static_cast<unsigned>(dwords * j), static_cast<unsigned>(dwords))
                << shift;
  }
}

// The first `blocks` blocks of a unit of one row, into its lane of a group's unit. False: a scale is not
// finite.
template <WeightType type, class Block>
bool pack_unit(const std::uint8_t* from, std::size_t blocks, std::uint8_t* to, std::size_t width,
               std::size_t lane) {
  constexpr Form form = form_of(type);
  constexpr UnitShape unit = unit_of(type);
  constexpr FileBlock file = arith::file_block(type);
  constexpr bool small = unit.blocks == 2;
  const std::size_t stride = 4 * width;
  bool finite = true;
  for (std::size_t i = 0; i < (small ? blocks : 1); ++i) {
    const std::uint8_t* const scales = from + i * file.bytes + file.first_scale;
    for (std::size_t s = 0; s < file.scales; ++s) {
      const auto scale = arith::read_at<std::uint16_t>(scales, s);
      finite &= arith::is_finite_f16(scale);
      if constexpr (small || file.scales == 2) {
        std::memcpy(to + (small ? 2 * s + i : s) * 2 * width + 2 * lane, &scale, 2);
      } else {
        const float wide = arith::f16_to_f32(scale);
        std::memcpy(to + 4 * lane, &wide, 4);
      }
    }
  }
  for (std::size_t k = 0; k < form.sub_bytes / 4; ++k)
    std::memcpy(to + (k + 1) * stride + 4 * lane, from + form.sub_at + 4 * k, 4);

#pragma GCC unroll 8
  for (std::size_t b = 0; b < unit.blocks; ++b) {
    if (small && b == blocks) break;
    const std::uint8_t* const block = small ? from + b * file.bytes : from;
    Quads quads;
#pragma GCC unroll 8
    for (std::size_t k = 0; k < quads.size(); ++k) quads[k] = quad<Block>(block, small ? 0 : b, k);
    std::uint8_t* const low = to + width * (unit.scales + b * unit.weights) + 4 * lane;
    put_plane<form.low>(quads, 0, low, stride);
    put_plane<form.high>(quads, static_cast<unsigned>(form.low),
                         low + static_cast<std::size_t>(form.low) * stride, stride);
  }
  return finite;
}

// What packing a group needs to know. `rows` of it are in the file; the group is zero where they leave gaps.
struct Group {
  const std::uint8_t* from;
  std::size_t row_bytes, rows, cols;
  std::uint8_t* to;
  std::size_t width;
};

// Unit after unit, so that the group is written from its beginning to its end.
template <WeightType type, class Block>
bool pack_quantised(const Group& group) {
  constexpr UnitShape unit = unit_of(type);
  constexpr FileBlock file = arith::file_block(type);
  const std::size_t blocks = group.cols / kBlock;
  bool finite = true;
  for (std::size_t b = 0; b < blocks; b += unit.blocks) {
    const std::size_t count = std::min(unit.blocks, blocks - b);
    const std::uint8_t* const from = group.from + b * kBlock / file.elements * file.bytes;
    std::uint8_t* const to = group.to + b / unit.blocks * group.width * unit.bytes();
    for (std::size_t lane = 0; lane < group.rows; ++lane)
      finite &= pack_unit<type, Block>(from + lane * group.row_bytes, count, to, group.width, lane);
  }
  return finite;
}

// Word: an element; its exponent is all ones where it is not finite.
template <class Word, Word kExponent>
bool pack_regular(const Group& group) {
  constexpr std::size_t kAtOnce = 256 / sizeof(Word);  // columns whose lines stay in the cache
  constexpr Word kLowest = kExponent & -kExponent,
                 kHighest = static_cast<Word>(~(static_cast<Word>(-1) >> 1));
  const std::size_t lanes = 4 * group.width;
  bool finite = true;
  for (std::size_t begin = 0; begin < group.cols; begin += kAtOnce) {
    const std::size_t end = std::min(begin + kAtOnce, group.cols);
    for (std::size_t lane = 0; lane < group.rows; ++lane) {
      const std::uint8_t* const row = group.from + lane * group.row_bytes;
      Word sums = 0;  // an exponent of ones, and one more, carries into the highest bit
      for (std::size_t k = begin; k < end; ++k)
        sums |= static_cast<Word>((arith::read_at<Word>(row, k) & kExponent) + kLowest);
      finite &= (sums & kHighest) == 0;
      std::uint8_t* to = group.to + (begin * lanes + lane) * sizeof(Word);
      for (std::size_t k = begin; k < end; ++k, to += lanes * sizeof(Word))
        std::memcpy(to, row + k * sizeof(Word), sizeof(Word));
    }
  }
  return finite;
}

bool pack_group(WeightType type, const Group& group) {
  switch (type) {
    case WeightType::f32:
      return pack_regular<std::uint32_t, 0x7f800000>(group);
    case WeightType::f16:
      return pack_regular<std::uint16_t, 0x7c00>(group);
    case WeightType::bf16:
      return pack_regular<std::uint16_t, 0x7f80>(group);
    case WeightType::q8_0:
      return pack_quantised<WeightType::q8_0, arith::BlockQ8>(group);
    case WeightType::q4_0:
      return pack_quantised<WeightType::q4_0, arith::BlockQ4>(group);
    case WeightType::q4_1:
      return pack_quantised<WeightType::q4_1, arith::BlockQ41>(group);
    case WeightType::q5_0:
      return pack_quantised<WeightType::q5_0, arith::BlockQ50>(group);
    case WeightType::q5_1:
      return pack_quantised<WeightType::q5_1, arith::BlockQ51>(group);
    case WeightType::q2_k:
      return pack_quantised<WeightType::q2_k, arith::BlockQ2K>(group);
    case WeightType::q3_k:
      return pack_quantised<WeightType::q3_k, arith::BlockQ3K>(group);
    case WeightType::q4_k:
      return pack_quantised<WeightType::q4_k, arith::BlockQ4K>(group);
    case WeightType::q5_k:
      return pack_quantised<WeightType::q5_k, arith::BlockQ5K>(group);
    case WeightType::q6_k:
      return pack_quantised<WeightType::q6_k, arith::BlockQ6K>(group);
    case WeightType::s4:
    case WeightType::s8:
      break;
  }
  return false;
}

}  // namespace

PackedMatrix::PackedMatrix(WeightType type, std::size_t rows, std::size_t cols, std::size_t width)
    : CpuMatrix(type, rows, cols, arith::is_quantised(type) ? width : 4 * width,
                bytes_of_group(type, cols, width)),
      width_(width) {}

bool PackedMatrix::pack(const std::uint8_t* file_rows, std::size_t first, std::size_t end) {
  const std::size_t row_bytes = arith::row_bytes(type(), cols());
  const bool padded = arith::is_quantised(type()) && blocks() != cols() / kBlock;
  for (std::size_t g = first; g < end; ++g) {
    const std::size_t first_row = g * group_rows();
    const Group group{file_rows + first_row * row_bytes,
                      row_bytes,
                      std::min(group_rows(), rows() - first_row),
                      cols(),
                      group_data(g),
                      width_};
    if (padded || group.rows < group_rows()) std::memset(group.to, 0, group_bytes());
    if (!pack_group(type(), group)) return false;
  }
  return true;
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
    Quads quads{};
    const std::uint8_t* const low =
        source + width_ * (unit.scales + b % unit.blocks * unit.weights) + 4 * lane;
    add_plane(form.low, low, stride, 0, quads);
    add_plane(form.high, low + static_cast<std::size_t>(form.low) * stride, stride,
              static_cast<unsigned>(form.low), quads);
    for (std::size_t i = 0; i < kBlock; ++i) {
      sum.weights[i] = static_cast<std::int8_t>((quads[i / 4] >> i % 4 * 8 & 0xff) - form.bias);
      out[b * kBlock + i] = arith::value_of(sum, i);
    }
  }
}

}  // namespace cortensor::compute
