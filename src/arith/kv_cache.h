// Keys and values of one KV head as the cache keeps them: int8 with a binary16 scale per 32 elements.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "arith/convert.h"
#include "arith/quantiser.h"

namespace cortensor::arith {

// Spec: A11.1. One block of at most 32 values; also the quantiser of Q8_0 files (A16.1). Returns false, with
// a zero block, if a value is not finite or too large for a binary16 scale.
inline bool quantise_block_f16(std::span<const float> x, std::int8_t* q, std::uint16_t& scale) {
  scale = 0;
  std::fill_n(q, x.size(), std::int8_t{0});
  const std::uint32_t largest = largest_magnitude_bits(x);
  if (largest >= kInfinityBits) return false;
  const float exact_scale = float_of(largest) / 127.0f;
  const std::uint16_t rounded_scale = f32_to_f16(exact_scale);
  if (!is_finite_f16(rounded_scale)) return false;
  scale = rounded_scale;
  if (rounded_scale == 0) return true;
  const float inverse = 1.0f / f16_to_f32(rounded_scale);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float scaled = x[i] * inverse;
    q[i] = static_cast<std::int8_t>(std::clamp(round_to_int(scaled), -127, 127));
  }
  return true;
}

// Rows of head_dim elements; the last block of a row is short when head_dim is no multiple of 32.
class CachedRows {
 public:
  explicit CachedRows(std::size_t head_dim) : head_dim_(head_dim) {}

  std::size_t head_dim() const { return head_dim_; }
  std::size_t blocks() const { return (head_dim_ + kBlock - 1) / kBlock; }
  std::size_t rows() const { return q_.size() / head_dim_; }

  // Spec: A11.2. Appends one row; returns false as quantise_block_f16 does.
  bool append(std::span<const float> x) {
    q_.resize(q_.size() + head_dim_);
    scales_.resize(scales_.size() + blocks());
    bool finite = true;
    for (std::size_t b = 0; b < blocks(); ++b) {
      const auto block = x.subspan(b * kBlock, std::min(kBlock, head_dim_ - b * kBlock));
      finite &= quantise_block_f16(block, &q_[(rows() - 1) * head_dim_ + b * kBlock],
                                   scales_[(rows() - 1) * blocks() + b]);
    }
    return finite;
  }
  const std::int8_t* row(std::size_t key) const { return &q_[key * head_dim_]; }
  float scale(std::size_t key, std::size_t block) const {
    return f16_to_f32(scales_[key * blocks() + block]);
  }

 private:
  std::size_t head_dim_;
  std::vector<std::int8_t> q_;         // [rows, head_dim]
  std::vector<std::uint16_t> scales_;  // [rows, blocks], binary16
};

}  // namespace cortensor::arith
