// What the CPU backend asks of a packed matrix, whatever its layout.
#pragma once

#include "compute/backend.h"
#include "compute/cpu/buffer.h"

namespace cortensor::compute {

class CpuMatrix : public Matrix {
 public:
  // Rows are packed and multiplied in groups; the last may be partly padding.
  std::size_t group_rows() const { return group_rows_; }
  std::size_t groups() const { return (rows() + group_rows_ - 1) / group_rows_; }
  std::size_t group_bytes() const { return group_bytes_; }
  std::size_t memory_bytes() const override { return buffer_.size(); }
  const std::uint8_t* data() const { return buffer_.data(); }

  // Packs row groups [first, end) from the rows of a model file; groups may be packed concurrently. Returns
  // false if a row is not one that a file may hold (A2.4, A17).
  virtual bool pack(const std::uint8_t* file_rows, std::size_t first, std::size_t end) = 0;

  // The row as an embedding (A2.3, A17.7). out: [cols].
  virtual void widen_row(std::size_t row, float* out) const = 0;

 protected:
  CpuMatrix(arith::WeightType type, std::size_t rows, std::size_t cols, std::size_t group_rows,
            std::size_t group_bytes)
      : Matrix(type, rows, cols),
        group_rows_(group_rows),
        group_bytes_(group_bytes),
        buffer_(groups() * group_bytes) {}
  std::uint8_t* group_data(std::size_t group) const { return buffer_.data() + group * group_bytes_; }

 private:
  std::size_t group_rows_, group_bytes_;
  Buffer buffer_;
};

}  // namespace cortensor::compute
