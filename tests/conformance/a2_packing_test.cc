// Spec: A2, A17.3, A17.4. The packed form of every weight type, byte by byte, against what packing.h says of
// it.
#include <algorithm>

#include "arith/blocks.h"
#include "compute/cpu/packing.h"
#include "compute/cpu/segment_matrix.h"
#include "conformance/conformance.h"

namespace cortensor::conformance {
namespace {

using arith::kBlock;
using arith::WeightType;

constexpr std::size_t kWidths[] = {1, 4, 8, 16};

// Planes of integers: how many bits of an element each has, the low ones first; what makes them unsigned; and
// the sub-scales of a K block.
struct Form {
  unsigned low, high;
  int bias;
  std::size_t sub_at, sub_bytes;
};
Form form_of(WeightType type) {
  switch (type) {
    case WeightType::q8_0:
      return {8, 0, 0, 0, 0};
    case WeightType::q4_0:
      return {4, 0, 8, 0, 0};
    case WeightType::q5_0:
      return {4, 1, 16, 0, 0};
    case WeightType::q5_1:
      return {4, 1, 0, 0, 0};
    case WeightType::q2_k:
      return {2, 0, 0, 0, 16};
    case WeightType::q3_k:
      return {2, 1, 4, 96, 12};
    case WeightType::q4_k:
      return {4, 0, 0, 4, 12};
    case WeightType::q5_k:
      return {4, 1, 0, 4, 12};
    case WeightType::q6_k:
      return {4, 2, 32, 192, 16};
    default:
      return {4, 0, 0, 0, 0};
  }
}

// Where a plane keeps element i: the byte among those of a row's block, and the lowest bit in it.
std::pair<std::size_t, unsigned> place_of(unsigned plane, std::size_t i) {
  const auto n = static_cast<unsigned>(i);
  switch (plane) {
    case 1:
      return {i % 4, n / 4};
    case 2:
      return {i / 16 * 4 + i % 4, n / 4 % 4 * 2};
    case 4:
      return {i % 16, n / 16 * 4};
    default:
      return {i, 0};
  }
}

// A group as bytes that are put where they belong one by one.
class Plain {
 public:
  Plain(const Bytes& file, WeightType type, std::size_t rows, std::size_t cols, std::size_t width)
      : file_(file), type_(type), rows_(rows), cols_(cols), width_(width) {}

  Bytes packed() {
    if (arith::is_segmented(type_)) {
      segmented();
    } else if (arith::is_quantised(type_)) {
      quantised();
    } else {
      regular();
    }
    return std::move(out_);
  }

 private:
  const std::uint8_t* row(std::size_t r) const { return file_.data() + r * arith::row_bytes(type_, cols_); }
  // A piece of each row of a group, side by side; zeros for the rows that are missing.
  template <class F>
  void pieces(std::size_t first, std::size_t lanes, std::size_t bytes, F piece) {
    for (std::size_t r = first; r < first + lanes; ++r) {
      const std::size_t at = out_.size();
      out_.resize(at + bytes);
      if (r < rows_) piece(row(r), &out_[at]);
    }
  }

  void regular() {
    const std::size_t size = arith::file_block(type_).bytes;
    for (std::size_t first = 0; first < rows_; first += 4 * width_)
      for (std::size_t k = 0; k < cols_; ++k)
        pieces(first, 4 * width_, size,
               [&](const std::uint8_t* from, std::uint8_t* to) { std::memcpy(to, from + k * size, size); });
  }

  void quantised() {
    const Form form = form_of(type_);
    const arith::FileBlock file = arith::file_block(type_);
    const bool small = file.elements == kBlock;
    const std::size_t unit = small ? 2 : 8, blocks = cols_ / kBlock;
    for (std::size_t first = 0; first < rows_; first += width_) {
      for (std::size_t b = 0; b < blocks; b += unit) {
        const auto scale_of = [&](const std::uint8_t* from, std::size_t block, std::size_t s) {
          return from + block * kBlock / file.elements * file.bytes + file.first_scale + 2 * s;
        };
        for (std::size_t s = 0; s < file.scales && (small || file.scales == 2); ++s)
          for (std::size_t half = 0; half < (small ? 2 : 1); ++half)
            pieces(first, width_, 2, [&](const std::uint8_t* from, std::uint8_t* to) {
              if (b + half < blocks) std::memcpy(to, scale_of(from, b + half, s), 2);
            });
        if (!small && file.scales == 1)
          pieces(first, width_, 4, [&](const std::uint8_t* from, std::uint8_t* to) {
            const float wide = arith::f16_to_f32(arith::read_at<std::uint16_t>(scale_of(from, b, 0), 0));
            std::memcpy(to, &wide, 4);
          });
        for (std::size_t k = 0; k < form.sub_bytes; k += 4)
          pieces(first, width_, 4, [&](const std::uint8_t* from, std::uint8_t* to) {
            std::memcpy(to, from + b / 8 * file.bytes + form.sub_at + k, 4);
          });
        for (std::size_t i = b; i < b + unit; ++i) {
          planes(first, i, form.low, 0, form.bias);
          planes(first, i, form.high, form.low, form.bias);
        }
      }
    }
  }

  void planes(std::size_t first, std::size_t block, unsigned plane, unsigned shift, int bias) {
    for (std::size_t dword = 0; dword < plane; ++dword)
      pieces(first, width_, 4, [&](const std::uint8_t* from, std::uint8_t* to) {
        if (block >= cols_ / kBlock) return;
        const arith::SumBlock sum = arith::sum_block(type_, from, block);
        for (std::size_t i = 0; i < kBlock; ++i) {
          const auto [byte, bit] = place_of(plane, i);
          const unsigned kept = static_cast<unsigned>(sum.weights[i] + bias) >> shift & ((1u << plane) - 1);
          if (byte / 4 == dword) to[byte % 4] |= static_cast<std::uint8_t>(kept << bit);
        }
      });
  }

  void segmented() {
    for (std::size_t first = 0; first < rows_; first += width_) {
      std::size_t at = 0;
      const auto run = [&](std::size_t count, std::size_t bytes) {
        for (; count > 0; --count, at += bytes)
          pieces(first, width_, bytes,
                 [&](const std::uint8_t* from, std::uint8_t* to) { std::memcpy(to, from + at, bytes); });
      };
      for (std::size_t done = 0; done < cols_;) {
        const std::size_t length = arith::segment_length(cols_ - done);
        run(1, 4);
        if (type_ == WeightType::s4) run(length / kBlock, 1);
        run(type_ == WeightType::s4 ? length / 8 : length / 4, 4);
        done += length;
      }
    }
  }

  const Bytes& file_;
  WeightType type_;
  std::size_t rows_, cols_, width_;
  Bytes out_;
};

std::unique_ptr<compute::CpuMatrix> matrix_of(WeightType type, std::size_t rows, std::size_t cols,
                                              std::size_t width) {
  if (arith::is_segmented(type)) return std::make_unique<compute::SegmentMatrix>(type, rows, cols, width);
  return std::make_unique<compute::PackedMatrix>(type, rows, cols, width);
}

TEST(A2, EveryTypeIsPackedAsDescribed) {
  Random random(20);
  for (const WeightType type : all_types()) {
    for (const std::size_t width : kWidths) {
      for (const std::size_t blocks : {1u, 2u, 5u, 19u}) {
        const std::size_t cols = blocks * std::max(arith::file_block(type).elements, kBlock);
        const std::size_t rows = 1 + random() % (9 * width);
        const Bytes file = weights(type, rows, cols, Kind::ordinary, random);
        const auto matrix = matrix_of(type, rows, cols, width);
        std::memset(const_cast<std::uint8_t*>(matrix->data()), 0x5a, matrix->memory_bytes());
        ASSERT_TRUE(matrix->pack(file.data(), 0, matrix->groups()));
        const Bytes expected = Plain(file, type, rows, cols, width).packed();
        ASSERT_EQ(expected, Bytes(matrix->data(), matrix->data() + matrix->memory_bytes()))
            << "type " << static_cast<int>(type) << ", " << rows << " x " << cols << ", width " << width;
      }
    }
  }
}

// Any one number that is not finite, in any row.
TEST(A2, NoNumberThatIsNotFiniteIsPacked) {
  Random random(21);
  for (const WeightType type : all_types()) {
    if (arith::is_segmented(type)) continue;
    const arith::FileBlock block = arith::file_block(type);
    const std::size_t rows = 21, cols = 5 * std::max(block.elements, kBlock),
                      stride = arith::row_bytes(type, cols);
    const Bytes good = weights(type, rows, cols, Kind::ordinary, random);
    const auto matrix = matrix_of(type, rows, cols, 4);
    ASSERT_TRUE(matrix->pack(good.data(), 0, matrix->groups()));
    for (std::size_t row = 0; row < rows; ++row) {
      for (std::size_t number = 0; number < std::max<std::size_t>(1, block.scales); ++number) {
        Bytes bad = good;
        std::uint8_t* const at = &bad[row * stride + random() % (stride / block.bytes) * block.bytes +
                                      block.first_scale + 2 * number];
        const std::uint32_t nan = 0x7fc00001;
        const std::uint16_t infinity = type == WeightType::bf16 ? 0xff80 : 0xfc00;
        if (type == WeightType::f32)
          std::memcpy(at, &nan, 4);
        else
          std::memcpy(at, &infinity, 2);
        ASSERT_FALSE(matrix->pack(bad.data(), 0, matrix->groups())) << static_cast<int>(type);
      }
    }
  }
}

}  // namespace
}  // namespace cortensor::conformance
