#include "compute/cpu/packing.h"

#include <algorithm>
#include <cstring>

namespace cortensor::compute {

using arith::BlockQ4;
using arith::BlockQ8;
using arith::kBlock;
using arith::WeightType;

namespace {

std::size_t element_bytes(WeightType type) {
  return arith::row_bytes(type, 1);
}
std::size_t block_bytes(WeightType type) {
  return type == WeightType::q8_0 ? kBlock : kBlock / 2;
}

// Where block b of a group lies: its scales and its weights.
struct BlockPlace {
  std::size_t scales, weights;
};
BlockPlace place_of(WeightType type, std::size_t width, std::size_t b) {
  const std::size_t scale_bytes = 2 * width, weight_bytes = block_bytes(type) * width;
  const std::size_t pair = b / 2 * 2 * (scale_bytes + weight_bytes);
  return {pair + b % 2 * scale_bytes, pair + 2 * scale_bytes + b % 2 * weight_bytes};
}

}  // namespace

PackedMatrix::PackedMatrix(WeightType type, std::size_t rows, std::size_t cols, std::size_t width)
    : Matrix(type, rows, cols), width_(width), buffer_(groups() * group_bytes()) {}

std::size_t PackedMatrix::group_bytes() const {
  if (!arith::is_quantised(type())) return group_rows() * cols() * element_bytes(type());
  return blocks() * width_ * (2 + block_bytes(type()));
}

bool PackedMatrix::pack(const std::uint8_t* file_rows, std::size_t first, std::size_t end) {
  const std::size_t stride = arith::row_bytes(type(), cols());
  for (std::size_t group = first; group < end; ++group) {
    std::uint8_t* target = buffer_.data() + group * group_bytes();
    std::memset(target, 0, group_bytes());
    for (std::size_t lane = 0; lane < group_rows() && group * group_rows() + lane < rows(); ++lane) {
      const std::uint8_t* row = file_rows + (group * group_rows() + lane) * stride;
      if (!arith::row_is_finite(type(), row, cols())) return false;
      if (arith::is_quantised(type()))
        pack_quantised(row, target, lane);
      else
        pack_regular(row, target, lane);
    }
  }
  return true;
}

void PackedMatrix::pack_quantised(const std::uint8_t* file_row, std::uint8_t* group, std::size_t lane) {
  for (std::size_t b = 0; b < cols() / kBlock; ++b) {
    const BlockPlace place = place_of(type(), width_, b);
    std::uint8_t* weights = group + place.weights + 4 * lane;
    if (type() == WeightType::q8_0) {
      const auto block = arith::read_at<BlockQ8>(file_row, b);
      std::memcpy(group + place.scales + 2 * lane, &block.scale, 2);
      for (std::size_t quad = 0; quad < 8; ++quad)
        std::memcpy(weights + quad * 4 * width_, block.weights + 4 * quad, 4);
    } else {  // a file's byte i already holds elements i and i + 16
      const auto block = arith::read_at<BlockQ4>(file_row, b);
      std::memcpy(group + place.scales + 2 * lane, &block.scale, 2);
      for (std::size_t quad = 0; quad < 4; ++quad)
        std::memcpy(weights + quad * 4 * width_, block.nibbles + 4 * quad, 4);
    }
  }
}

void PackedMatrix::pack_regular(const std::uint8_t* file_row, std::uint8_t* group, std::size_t lane) {
  const std::size_t size = element_bytes(type());
  for (std::size_t k = 0; k < cols(); ++k)
    std::memcpy(group + (k * group_rows() + lane) * size, file_row + k * size, size);
}

void PackedMatrix::widen_row(std::size_t row, float* out) const {
  const std::uint8_t* group = buffer_.data() + row / group_rows() * group_bytes();
  const std::size_t lane = row % group_rows();
  if (!arith::is_quantised(type())) {
    const std::size_t size = element_bytes(type());
    for (std::size_t k = 0; k < cols(); ++k)
      arith::widen_row(type(), group + (k * group_rows() + lane) * size, {out + k, 1});
    return;
  }
  for (std::size_t b = 0; b < cols() / kBlock; ++b) {
    const BlockPlace place = place_of(type(), width_, b);
    const std::uint8_t* weights = group + place.weights + 4 * lane;
    std::uint8_t block[sizeof(BlockQ8)];  // the block as the file had it
    std::memcpy(block, group + place.scales + 2 * lane, 2);
    for (std::size_t quad = 0; quad < block_bytes(type()) / 4; ++quad)
      std::memcpy(block + 2 + 4 * quad, weights + quad * 4 * width_, 4);
    arith::widen_row(type(), block, {out + b * kBlock, kBlock});
  }
}

}  // namespace cortensor::compute
