// Weight matrices in the order in which the kernels read them. Rows come in groups, padded with zero rows:
//
//   quantised   groups of `width` rows. Per pair of blocks: the scales of both blocks, [2][width] binary16,
//   then the
//               two blocks. A Q8_0 block is [8 quads][width rows][4 bytes], quad k holding elements 4k ..
//               4k+3; a Q4_0 block is [4][width][4 bytes], the low nibbles quad k, the high nibbles quad k
//               + 4. An odd number of blocks gets a zero block, which adds fma(0, 0, acc) = acc.
//   regular     groups of 4 * width rows, [cols][rows of the group].
#pragma once

#include <cstddef>
#include <span>

#include "arith/blocks.h"
#include "base/bytes.h"
#include "compute/backend.h"
#include "compute/cpu/buffer.h"

namespace cortensor::compute {

class PackedMatrix final : public Matrix {
 public:
  PackedMatrix(arith::WeightType type, std::size_t rows, std::size_t cols, std::size_t width);

  std::size_t memory_bytes() const override { return buffer_.size(); }
  std::size_t width() const { return width_; }
  std::size_t group_rows() const { return arith::is_quantised(type()) ? width_ : 4 * width_; }
  std::size_t groups() const { return (rows() + group_rows() - 1) / group_rows(); }
  std::size_t blocks() const { return padded_blocks(cols()); }  // of quantised rows, padding included
  const std::uint8_t* data() const { return buffer_.data(); }

  // Packs row groups [first, end) from the rows of a model file; groups may be packed concurrently. Returns
  // false if a scale or weight is not finite.
  bool pack(const std::uint8_t* file_rows, std::size_t first, std::size_t end);

  // The row, widened exactly (A2.3). out: [cols].
  void widen_row(std::size_t row, float* out) const;

  static std::size_t padded_blocks(std::size_t cols) { return (cols / arith::kBlock + 1) / 2 * 2; }

 private:
  std::size_t group_bytes() const;
  void pack_quantised(const std::uint8_t* file_row, std::uint8_t* group, std::size_t lane);
  void pack_regular(const std::uint8_t* file_row, std::uint8_t* group, std::size_t lane);

  std::size_t width_;
  Buffer buffer_;
};

}  // namespace cortensor::compute
