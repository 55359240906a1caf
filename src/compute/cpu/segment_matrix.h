// Matrices of the native types in the order in which the kernels read them. Rows come in groups of `width`,
// padded with zero rows. Per segment: the rows' scales, [width] binary32; of S4 the code bytes, [blocks of
// 32][width]; then the elements, S8 as [quads][width rows][4 bytes], S4 as the blocks of 32 of Q4_0
// (packing.h). As many bytes as in the file.
#pragma once

#include "compute/cpu/cpu_matrix.h"

namespace cortensor::compute {

class SegmentMatrix final : public CpuMatrix {
 public:
  SegmentMatrix(arith::WeightType type, std::size_t rows, std::size_t cols, std::size_t width);

  bool pack(const std::uint8_t* file_rows, std::size_t first, std::size_t end) override;
  void widen_row(std::size_t row, float* out) const override;

 private:
  // Calls f(offset in the file's row, count, bytes) for the runs of pieces that stay together. A run begins
  // `width` times as far in a group, where a piece of every row lies side by side.
  template <class F>
  void for_each_run(F f) const;

  std::size_t width_, row_bytes_;
};

}  // namespace cortensor::compute
