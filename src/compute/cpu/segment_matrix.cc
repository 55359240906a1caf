#include "compute/cpu/segment_matrix.h"

#include <cstring>
#include <vector>

#include "arith/matmul.h"

namespace cortensor::compute {

using arith::kBlock;
using arith::WeightType;

SegmentMatrix::SegmentMatrix(WeightType type, std::size_t rows, std::size_t cols, std::size_t width)
    : CpuMatrix(type, rows, cols, width, width * arith::row_bytes(type, cols)),
      width_(width),
      row_bytes_(arith::row_bytes(type, cols)) {}

template <class F>
void SegmentMatrix::for_each_piece(F f) const {
  std::size_t at = 0;  // of the file's row; the group holds `width` times as much before it
  const auto pieces = [&](std::size_t count, std::size_t bytes) {
    for (std::size_t i = 0; i < count; ++i, at += bytes) f(at, at * width_, bytes);
  };
  for (std::size_t done = 0; done < cols();) {
    const std::size_t length = arith::segment_length(cols() - done);
    pieces(1, 4);
    if (type() == WeightType::s4) {
      pieces(length / kBlock, 1);
      pieces(length / 8, 4);
    } else {
      pieces(length / 4, 4);
    }
    done += length;
  }
}

bool SegmentMatrix::pack(const std::uint8_t* file_rows, std::size_t first, std::size_t end) {
  for (std::size_t group = first; group < end; ++group) {
    std::uint8_t* target = group_data(group);
    std::memset(target, 0, group_bytes());
    for (std::size_t lane = 0; lane < width_ && group * width_ + lane < rows(); ++lane) {
      const std::uint8_t* row = file_rows + (group * width_ + lane) * row_bytes_;
      if (!arith::row_is_good(type(), row, cols())) return false;
      for_each_piece([&](std::size_t in_file, std::size_t in_group, std::size_t bytes) {
        std::memcpy(target + in_group + bytes * lane, row + in_file, bytes);
      });
    }
  }
  return true;
}

void SegmentMatrix::widen_row(std::size_t row, float* out) const {
  const std::uint8_t* group = group_data(row / width_);
  const std::size_t lane = row % width_;
  std::vector<std::uint8_t> file_row(row_bytes_);
  for_each_piece([&](std::size_t in_file, std::size_t in_group, std::size_t bytes) {
    std::memcpy(file_row.data() + in_file, group + in_group + bytes * lane, bytes);
  });
  arith::embedding_row(type(), file_row.data(), {out, cols()});
}

}  // namespace cortensor::compute
