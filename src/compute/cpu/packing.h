// Weight matrices in the order in which the kernels read them. Rows come in groups, padded with zero rows.
//
// regular     groups of 4 * width rows, [cols][rows of the group].
//
// quantised   groups of `width` rows, cut into units: two blocks of 32 columns, or the eight of a K block. A
//             unit is [n][width] words or dwords, one of each row side by side: first the scales, then the
//             integers of its blocks, made unsigned by adding the type's bias and cut into planes of bits:
//
//               bytes     8 dwords a block; dword k holds elements 4k .. 4k + 3 (Q8_0, signed as they are)
//
//               nibbles   4; the low halves of dword k hold elements 4k .., the high halves 4k + 16 ..
//
//               pairs     2; bits 2k, 2k + 1 of each byte of dword h hold elements 16h + 4k ..
//
//               bits      1; bit k of each byte holds elements 4k ..
//
//             Scales of two blocks: the scales of both, then their offsets where they have one, in binary16.
//             Of a K block: scale and offset scale in binary16, or a lone scale in binary32 (so that vectors
//             stay aligned), then its sub-scales, the file's bytes in dwords.
//             An odd number of blocks gets a zero block, which adds fma(0, 0, acc) = acc.
#pragma once

#include <cstddef>
#include <span>

#include "arith/blocks.h"
#include "base/bytes.h"
#include "compute/cpu/cpu_matrix.h"

namespace cortensor::compute {

class PackedMatrix final : public CpuMatrix {
 public:
  PackedMatrix(arith::WeightType type, std::size_t rows, std::size_t cols, std::size_t width);

  std::size_t width() const { return width_; }
  std::size_t blocks() const { return padded_blocks(cols()); }  // of quantised rows, padding included

  bool pack(const std::uint8_t* file_rows, std::size_t first, std::size_t end) override;
  void widen_row(std::size_t row, float* out) const override;

  static std::size_t padded_blocks(std::size_t cols) { return (cols / arith::kBlock + 1) / 2 * 2; }

 private:
  void widen_quantised(const std::uint8_t* group, std::size_t lane, float* out) const;

  std::size_t width_;
};

}  // namespace cortensor::compute
