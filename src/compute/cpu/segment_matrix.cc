#include "compute/cpu/segment_matrix.h"

#include <algorithm>
#include <cstring>
#include <type_traits>
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
void SegmentMatrix::for_each_run(F f) const {
  std::size_t at = 0;
  const auto run = [&](std::size_t count, auto bytes) {
    f(at, count, bytes);
    at += count * bytes;
  };
  constexpr std::integral_constant<std::size_t, 1> kByte;
  constexpr std::integral_constant<std::size_t, 4> kDword;
  for (std::size_t done = 0; done < cols();) {
    const std::size_t length = arith::segment_length(cols() - done);
    run(1, kDword);
    if (type() == WeightType::s4) {
      run(length / kBlock, kByte);
      run(length / 8, kDword);
    } else {
      run(length / 4, kDword);
    }
    done += length;
  }
}

// Run after run, so that the group is written from its beginning to its end.
bool SegmentMatrix::pack(const std::uint8_t* file_rows, std::size_t first, std::size_t end) {
  for (std::size_t group = first; group < end; ++group) {
    std::uint8_t* const target = group_data(group);
    const std::uint8_t* const from = file_rows + group * width_ * row_bytes_;
    const std::size_t held = std::min(width_, rows() - group * width_);
    if (held < width_) std::memset(target, 0, group_bytes());
    for (std::size_t lane = 0; lane < held; ++lane)
      if (!arith::row_is_good(type(), from + lane * row_bytes_, cols())) return false;
    for_each_run([&](std::size_t at, std::size_t count, auto bytes) {
      for (std::size_t lane = 0; lane < held; ++lane) {
        const std::uint8_t* const run = from + lane * row_bytes_ + at;
        std::uint8_t* to = target + at * width_ + bytes * lane;
        const std::size_t stride = bytes * width_;
        for (std::size_t i = 0; i < count; ++i, to += stride) std::memcpy(to, run + i * bytes, bytes);
      }
    });
  }
  return true;
}

void SegmentMatrix::widen_row(std::size_t row, float* out) const {
  const std::uint8_t* const group = group_data(row / width_);
  const std::size_t lane = row % width_;
  std::vector<std::uint8_t> file_row(row_bytes_);
  for_each_run([&](std::size_t at, std::size_t count, auto bytes) {
    const std::uint8_t* const run = group + at * width_ + bytes * lane;
    for (std::size_t i = 0; i < count; ++i)
      std::memcpy(file_row.data() + at + i * bytes, run + i * bytes * width_, bytes);
  });
  arith::embedding_row(type(), file_row.data(), {out, cols()});
}

}  // namespace cortensor::compute
