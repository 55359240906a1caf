// Keys and values of one KV head as the cache keeps them: int8 with a binary16 scale per 32 elements, or
// binary16.
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

// Spec: A11. A model with a native matrix (A17) in any layer keeps an int8 cache, others binary16.
enum class CacheType : std::uint8_t { int8, f16 };

// Rows of head_dim elements; the last block of a row is short when head_dim is no multiple of 32.
class CachedRows {
 public:
  explicit CachedRows(std::size_t head_dim, CacheType type = CacheType::int8)
      : head_dim_(head_dim), type_(type) {}

  CacheType type() const { return type_; }

  std::size_t head_dim() const { return head_dim_; }
  std::size_t blocks() const { return (head_dim_ + kBlock - 1) / kBlock; }
  std::size_t rows() const { return rows_; }

  // Appends one row; returns false if a value is not finite or too large.
  bool append(std::span<const float> x) {
    ++rows_;
    return type_ == CacheType::int8 ? append_int8(x) : append_f16(x);
  }

  // Of an int8 cache.
  const std::int8_t* row(std::size_t key) const { return &q_[key * head_dim_]; }
  float scale(std::size_t key, std::size_t block) const {
    return f16_to_f32(scales_[key * blocks() + block]);
  }
  // Of a binary16 cache: a row, widened exactly.
  std::span<const float> widened(std::size_t key) const { return {&widened_[key * head_dim_], head_dim_}; }

 private:
  // Spec: A11.2
  bool append_int8(std::span<const float> x) {
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

  // Spec: A11.3. Every element is rounded to binary16; a row with an element that is then not finite becomes
  // zero.
  bool append_f16(std::span<const float> x) {
    bool finite = true;
    for (const float value : x) finite &= is_finite_f16(f32_to_f16(value));
    for (const float value : x) widened_.push_back(finite ? f16_to_f32(f32_to_f16(value)) : 0.0f);
    return finite;
  }

  std::size_t head_dim_;
  CacheType type_;
  std::size_t rows_ = 0;
  std::vector<std::int8_t> q_;         // [rows, head_dim]
  std::vector<std::uint16_t> scales_;  // [rows, blocks], binary16
  std::vector<float> widened_;         // [rows, head_dim], of a binary16 cache
};

}  // namespace cortensor::arith
