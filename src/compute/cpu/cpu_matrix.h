// What the CPU backend asks of a packed matrix, whatever its layout.
#pragma once

#include "compute/backend.h"

namespace cortensor::compute {

class CpuMatrix : public Matrix {
 public:
  // Rows are packed and multiplied in groups; the last may be partly padding.
  std::size_t group_rows() const { return group_rows_; }
  std::size_t groups() const { return (rows() + group_rows_ - 1) / group_rows_; }
  virtual const std::uint8_t* data() const = 0;

  // Packs row groups [first, end) from the rows of a model file; groups may be packed concurrently. Returns
  // false if a row is not one that a file may hold (A2.4, A17).
  virtual bool pack(const std::uint8_t* file_rows, std::size_t first, std::size_t end) = 0;

  // The row as an embedding (A2.3, A17.7). out: [cols].
  virtual void widen_row(std::size_t row, float* out) const = 0;

 protected:
  CpuMatrix(arith::WeightType type, std::size_t rows, std::size_t cols, std::size_t group_rows)
      : Matrix(type, rows, cols), group_rows_(group_rows) {}

 private:
  std::size_t group_rows_;
};

}  // namespace cortensor::compute
