// The blocks of the quantised types as they lie in a file, and what 32 elements of any of them mean.
#pragma once

#include <cstddef>
#include <cstdint>

#include "arith/convert.h"

namespace cortensor::arith {

inline constexpr std::size_t kHalfBlock = 16;
inline constexpr std::size_t kSuperBlock = 256;  // elements of a block of the K types: eight of 32

// Spec: A2.1. 32 signed bytes with one binary16 scale; -128 may occur.
struct BlockQ8 {
  std::uint16_t scale;
  std::int8_t weights[32];
};

// Spec: A2.2. Nibbles: element i is half i / 16 of byte i mod 16.
struct BlockQ4 {
  std::uint16_t scale;
  std::uint8_t nibbles[16];
};
struct BlockQ41 {
  std::uint16_t scale, offset;
  std::uint8_t nibbles[16];
};
// A fifth bit: bit i of 32, four bytes little endian.
struct BlockQ50 {
  std::uint16_t scale;
  std::uint8_t fifth[4];
  std::uint8_t nibbles[16];
};
struct BlockQ51 {
  std::uint16_t scale, offset;
  std::uint8_t fifth[4];
  std::uint8_t nibbles[16];
};

// Spec: A2.3. Eight blocks with scales of their own that multiply those of the whole.
struct BlockQ4K {
  std::uint16_t scale, offset_scale;
  std::uint8_t sub[12];
  std::uint8_t nibbles[128];
};
struct BlockQ5K {
  std::uint16_t scale, offset_scale;
  std::uint8_t sub[12];
  std::uint8_t fifth[32];
  std::uint8_t nibbles[128];
};
struct BlockQ6K {
  std::uint8_t nibbles[128];
  std::uint8_t pairs[64];
  std::int8_t sub[16];
  std::uint16_t scale;
};
struct BlockQ3K {
  std::uint8_t third[32];
  std::uint8_t pairs[64];
  std::uint8_t sub[12];
  std::uint16_t scale;
};
struct BlockQ2K {
  std::uint8_t sub[16];
  std::uint8_t pairs[64];
  std::uint16_t scale, offset_scale;
};
static_assert(sizeof(BlockQ8) == 34 && sizeof(BlockQ4) == 18 && sizeof(BlockQ41) == 20 &&
              sizeof(BlockQ50) == 22 && sizeof(BlockQ51) == 24);
static_assert(sizeof(BlockQ4K) == 144 && sizeof(BlockQ5K) == 176 && sizeof(BlockQ6K) == 210 &&
              sizeof(BlockQ3K) == 110 && sizeof(BlockQ2K) == 84);

// Spec: A2. 32 elements of any quantised type: element i is scale * sub[i / 16] * weights[i], plus the offset
// of its group. A group is the block where there is one, half of it where there are two.
struct SumBlock {
  std::int8_t weights[32] = {};
  std::int16_t sub[2] = {1, 1};
  float scale = 0.0f;
  int groups = 0;
  float offset[2] = {};
};

// The integers as the file has them, before anything is taken away.
inline unsigned nibble_of(const std::uint8_t* bytes, std::size_t i) {
  return bytes[i % 16] >> i / 16 * 4 & 15;
}
inline unsigned bit_of(const std::uint8_t* bytes, std::size_t i) {
  return bytes[i / 8] >> i % 8 & 1;
}

inline int weight_of(const BlockQ8& block, std::size_t i) {
  return block.weights[i];
}
inline int weight_of(const BlockQ4& block, std::size_t i) {
  return static_cast<int>(nibble_of(block.nibbles, i)) - 8;
}
inline int weight_of(const BlockQ41& block, std::size_t i) {
  return static_cast<int>(nibble_of(block.nibbles, i));
}
inline int weight_of(const BlockQ50& block, std::size_t i) {
  return static_cast<int>(nibble_of(block.nibbles, i) | bit_of(block.fifth, i) << 4) - 16;
}
inline int weight_of(const BlockQ51& block, std::size_t i) {
  return static_cast<int>(nibble_of(block.nibbles, i) | bit_of(block.fifth, i) << 4);
}

// Element i of block b of a K block. Nibbles: two blocks share 32 bytes, the even one in the low halves; bits
// and pairs of bits: the blocks' follow each other from the lowest, pairs in two runs of 32 bytes.
inline int weight_of(const BlockQ4K& block, std::size_t b, std::size_t i) {
  return block.nibbles[b / 2 * 32 + i] >> b % 2 * 4 & 15;
}
inline int weight_of(const BlockQ5K& block, std::size_t b, std::size_t i) {
  return (block.nibbles[b / 2 * 32 + i] >> b % 2 * 4 & 15) | (block.fifth[i] >> b & 1) << 4;
}
inline int weight_of(const BlockQ2K& block, std::size_t b, std::size_t i) {
  return block.pairs[b / 4 * 32 + i] >> b % 4 * 2 & 3;
}
inline int weight_of(const BlockQ3K& block, std::size_t b, std::size_t i) {
  return ((block.pairs[b / 4 * 32 + i] >> b % 4 * 2 & 3) | (block.third[i] >> b & 1) << 2) - 4;
}
// Here blocks b and b + 2 of each four share 32 bytes of nibbles.
inline int weight_of(const BlockQ6K& block, std::size_t b, std::size_t i) {
  const int low = block.nibbles[b / 4 * 64 + b % 2 * 32 + i] >> b % 4 / 2 * 4 & 15;
  return (low | (block.pairs[b / 4 * 32 + i] >> b % 4 * 2 & 3) << 4) - 32;
}

// Spec: A2.3. Twice eight 6-bit numbers in twelve bytes: scales and offsets of Q4_K and Q5_K.
inline unsigned sub_scale(const std::uint8_t (&sub)[12], std::size_t b) {
  return b < 4 ? sub[b] & 63u : (sub[b + 4] & 15u) | (sub[b - 4] >> 6u) << 4;
}
inline unsigned sub_offset(const std::uint8_t (&sub)[12], std::size_t b) {
  return b < 4 ? sub[b + 4] & 63u : (sub[b + 4] >> 4u) | (sub[b] >> 6u) << 4;
}
// Spec: A2.3. Sixteen 6-bit numbers, less 32: scales of Q3_K.
inline int half_scale(const std::uint8_t (&sub)[12], std::size_t h) {
  const int low = sub[h % 8] >> h / 8 * 4 & 15, high = sub[8 + h % 4] >> h / 4 * 2 & 3;
  return (low | high << 4) - 32;
}

template <class Block>
SumBlock integers_of(const Block& block, std::size_t b) {
  SumBlock out;
  for (std::size_t i = 0; i < 32; ++i) out.weights[i] = static_cast<std::int8_t>(weight_of(block, b, i));
  out.scale = f16_to_f32(block.scale);
  return out;
}

// The types of 32 elements.
template <class Block>
SumBlock sum_block(const Block& block) {
  SumBlock out;
  for (std::size_t i = 0; i < 32; ++i) out.weights[i] = static_cast<std::int8_t>(weight_of(block, i));
  out.scale = f16_to_f32(block.scale);
  if constexpr (requires { block.offset; }) {
    out.groups = 1;
    out.offset[0] = f16_to_f32(block.offset);
  }
  return out;
}

// Q4_K and Q5_K. A binary16 number has 11 bits and its factor 6 at most: the products are exact.
template <class Block>
SumBlock sum_block(const Block& block, std::size_t b) {
  SumBlock out = integers_of(block, b);
  out.scale *= static_cast<float>(sub_scale(block.sub, b));
  out.groups = 1;
  out.offset[0] = -(f16_to_f32(block.offset_scale) * static_cast<float>(sub_offset(block.sub, b)));
  return out;
}
inline SumBlock sum_block(const BlockQ6K& block, std::size_t b) {
  SumBlock out = integers_of(block, b);
  for (std::size_t h = 0; h < 2; ++h) out.sub[h] = block.sub[2 * b + h];
  return out;
}
inline SumBlock sum_block(const BlockQ3K& block, std::size_t b) {
  SumBlock out = integers_of(block, b);
  for (std::size_t h = 0; h < 2; ++h)
    out.sub[h] = static_cast<std::int16_t>(half_scale(block.sub, 2 * b + h));
  return out;
}
inline SumBlock sum_block(const BlockQ2K& block, std::size_t b) {
  SumBlock out = integers_of(block, b);
  out.groups = 2;
  for (std::size_t h = 0; h < 2; ++h) {
    const unsigned both = block.sub[2 * b + h];
    out.sub[h] = static_cast<std::int16_t>(both & 15);
    out.offset[h] = -(f16_to_f32(block.offset_scale) * static_cast<float>(both >> 4));
  }
  return out;
}

}  // namespace cortensor::arith
