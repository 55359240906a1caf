// One layer's part of a page of the KV cache: 64 positions of every KV head, laid out for the attention
// kernel. Heads follow each other; a head with B = ceil(head_dim / 32) blocks per row is
//
//   keys          [64 / width][B][8 quads][width positions][4 bytes]     int8, as a packed Q8_0 block
//   key scales    [64 / width][B][width]                                 binary16
//   values        [64][32 B]                                             int8
//   value scales  [B][64]                                                binary16
//
// Elements past head_dim are zero. In a binary16 cache a head is
//
//   keys          [64 / width][head_dim][width positions]                binary16
//   values        [64][32 B]                                             binary16, zero past head_dim
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "arith/kv_cache.h"
#include "compute/backend.h"

namespace cortensor::compute {

class KvHeadPage {
 public:
  static std::size_t blocks(std::size_t head_dim) { return (head_dim + arith::kBlock - 1) / arith::kBlock; }
  static std::size_t bytes(const KvShape& shape) {
    return shape.cache == arith::CacheType::int8 ? int8_bytes(shape.head_dim) : f16_bytes(shape.head_dim);
  }
  static std::size_t int8_bytes(std::size_t head_dim) {
    return 2 * kPagePositions * blocks(head_dim) * (arith::kBlock + sizeof(std::uint16_t));
  }

  static std::size_t f16_bytes(std::size_t head_dim) {
    return kPagePositions * (head_dim + arith::kBlock * blocks(head_dim)) * sizeof(std::uint16_t);
  }

  KvHeadPage(std::uint8_t* head, const KvShape& shape, std::size_t width)
      : head_(head),
        cache_(shape.cache),
        head_dim_(shape.head_dim),
        blocks_(blocks(shape.head_dim)),
        width_(width) {}

  // A11.2, A11.3. Stores the key and the value of a slot, 0 .. 63; false if either is refused.
  bool store(std::size_t slot, const float* key, const float* value) {
    return cache_ == arith::CacheType::int8 ? store_int8(slot, key, value) : store_f16(slot, key, value);
  }

 private:
  bool store_int8(std::size_t slot, const float* key, const float* value) {
    bool finite = true;
    std::uint8_t* const key_scales = head_ + kPagePositions * arith::kBlock * blocks_;
    std::uint8_t* const values = key_scales + kPagePositions * 2 * blocks_;
    std::uint8_t* const value_scales = values + kPagePositions * arith::kBlock * blocks_;
    for (std::size_t b = 0; b < blocks_; ++b) {
      const std::size_t begin = b * arith::kBlock, size = std::min(arith::kBlock, head_dim_ - begin);
      std::int8_t q[arith::kBlock] = {};
      std::uint16_t scale;

      finite &= arith::quantise_block_f16({key + begin, size}, q, scale);
      const std::size_t at = slot / width_ * blocks_ + b, lane = slot % width_;
      for (std::size_t quad = 0; quad < 8; ++quad)
        std::memcpy(head_ + (at * 8 + quad) * 4 * width_ + 4 * lane, q + 4 * quad, 4);
      std::memcpy(key_scales + (at * width_ + lane) * 2, &scale, 2);

      std::fill(std::begin(q), std::end(q), std::int8_t{0});
      finite &= arith::quantise_block_f16({value + begin, size}, q, scale);
      std::memcpy(values + slot * arith::kBlock * blocks_ + begin, q, arith::kBlock);
      std::memcpy(value_scales + (b * kPagePositions + slot) * 2, &scale, 2);
    }
    return finite;
  }

  bool store_f16(std::size_t slot, const float* key, const float* value) {
    const auto round = [&](const float* x, std::array<std::uint16_t, kMaxHeadDim>& out) {
      out = {};
      bool finite = true;
      for (std::size_t d = 0; d < head_dim_; ++d)
        finite &= arith::is_finite_f16(out[d] = arith::f32_to_f16(x[d]));
      if (!finite) out = {};
      return finite;
    };
    std::array<std::uint16_t, kMaxHeadDim> row;
    bool finite = round(key, row);
    std::uint8_t* const lane = head_ + (slot / width_ * head_dim_ * width_ + slot % width_) * 2;
    for (std::size_t d = 0; d < head_dim_; ++d) std::memcpy(lane + d * width_ * 2, &row[d], 2);

    finite &= round(value, row);
    std::uint8_t* const values = head_ + kPagePositions * head_dim_ * 2;
    std::memcpy(values + slot * arith::kBlock * blocks_ * 2, row.data(), arith::kBlock * blocks_ * 2);
    return finite;
  }

  std::uint8_t* head_;
  arith::CacheType cache_;
  std::size_t head_dim_, blocks_, width_;
};

}  // namespace cortensor::compute
