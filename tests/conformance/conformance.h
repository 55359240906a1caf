// What the conformance tests share: every instruction set as a test parameter, adversarial numbers, and
// comparison of bits. There is no tolerance in this folder.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "arith/segment.h"
#include "base/bytes.h"
#include "compute/backend.h"
#include "compute/cpu/dispatch.h"
#include "support/isas.h"

namespace cortensor::conformance {

using Random = std::mt19937;

// A test that runs once per instruction set of this machine.
class PerIsa : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    for (const auto* table : compute::available_kernels())
      if (std::string(table->name) == GetParam()) kernels_ = table;
  }
  const compute::KernelTable& kernels() const { return *kernels_; }
  std::unique_ptr<compute::Backend> backend(std::size_t threads) const {
    auto made = compute::make_cpu_backend({threads, GetParam()});
    if (!made) throw std::runtime_error(made.error().message);
    return std::move(*made);
  }

 private:
  const compute::KernelTable* kernels_ = nullptr;
};

#define CORTENSOR_PER_ISA(suite)                                                   \
  INSTANTIATE_TEST_SUITE_P(EachIsa, suite, ::testing::ValuesIn(test::isas_here()), \
                           [](const auto& param) { return std::string(param.param); })

// Kinds of numbers that have broken kernels before.
enum class Kind { ordinary, wide, subnormal, zeros, cancelling, threshold };
inline constexpr Kind kKinds[] = {Kind::ordinary, Kind::wide,       Kind::subnormal,
                                  Kind::zeros,    Kind::cancelling, Kind::threshold};

inline float number(Kind kind, std::size_t i, Random& random) {
  const float u = std::uniform_real_distribution<float>(-1.0f, 1.0f)(random);
  switch (kind) {
    case Kind::ordinary:
      return u;
    case Kind::wide:
      return std::ldexp(u, static_cast<int>(random() % 60) - 30);
    case Kind::subnormal:
      return random() % 4 == 0 ? u : std::ldexp(u, -130);
    case Kind::zeros:
      return random() % 3 == 0 ? u : (random() % 2 ? 0.0f : -0.0f);
    case Kind::cancelling:
      return (i % 2 ? -1e6f : 1e6f) + u;
    case Kind::threshold:
      return std::ldexp(u, random() % 2 ? -64 : -65);  // around the quantiser's 2^-64
  }
  return u;
}

inline std::vector<float> numbers(Kind kind, std::size_t n, Random& random) {
  std::vector<float> v(n);
  for (std::size_t i = 0; i < n; ++i) v[i] = number(kind, i, random);
  return v;
}

// A binary16 scale: ordinary, negative, zero or subnormal.
inline std::uint16_t any_scale(Random& random) {
  switch (random() % 6) {
    case 0:
      return static_cast<std::uint16_t>(random() % 0x400);  // +0 and subnormals
    case 1:
      return static_cast<std::uint16_t>(0x8000 | random() % 0x400);  // -0 and negative subnormals
    case 2:
      return static_cast<std::uint16_t>(random() % 0x7c00);  // any finite
    default:
      return static_cast<std::uint16_t>(random() % 2 << 15 | (0x2000 + random() % 0x800));
  }
}

inline constexpr arith::WeightType kQuantised[] = {
    arith::WeightType::q8_0, arith::WeightType::q4_0, arith::WeightType::q4_1, arith::WeightType::q5_0,
    arith::WeightType::q5_1, arith::WeightType::q2_k, arith::WeightType::q3_k, arith::WeightType::q4_k,
    arith::WeightType::q5_k, arith::WeightType::q6_k};
inline constexpr arith::WeightType kRegular[] = {arith::WeightType::f32, arith::WeightType::f16,
                                                 arith::WeightType::bf16};
inline constexpr arith::WeightType kNative[] = {arith::WeightType::s8, arith::WeightType::s4};
inline std::vector<arith::WeightType> all_types() {
  std::vector<arith::WeightType> types(std::begin(kRegular), std::end(kRegular));
  types.insert(types.end(), std::begin(kQuantised), std::end(kQuantised));
  types.insert(types.end(), std::begin(kNative), std::end(kNative));
  return types;
}

// A row of the native profile; `extreme`: weights as large as they may be.
inline void fill_segments(arith::WeightType type, std::uint8_t* row, std::size_t cols, bool extreme,
                          Random& random) {
  for (std::size_t at = 0; at < cols;) {
    const std::size_t length = arith::segment_length(cols - at), codes = length / arith::kBlock;
    const float scale = random() % 5 == 0
                            ? 0.0f
                            : std::ldexp(random() % 2 ? 1.0f : -1.3f, static_cast<int>(random() % 80) - 40);
    std::memcpy(row, &scale, 4);
    for (std::size_t i = 4; i < arith::segment_bytes(type, length); ++i) {
      const bool code = type == arith::WeightType::s4 && i < 4 + codes;
      const auto good = [&] {
        return code ? arith::is_s4_code(row[i]) : type == arith::WeightType::s4 || row[i] != 0x80;
      };
      do
        row[i] = static_cast<std::uint8_t>(extreme ? (code                            ? 0x0f
                                                      : type == arith::WeightType::s4 ? 0xff
                                                                                      : 0x81)
                                                   : random());
      while (!good());
    }
    row += arith::segment_bytes(type, length);
    at += length;
  }
}

// Rows of a model file. Every fourth quantised row has the same byte throughout: the integers and sub-scales
// at the ends of their ranges.
inline Bytes weights(arith::WeightType type, std::size_t rows, std::size_t cols, Kind kind, Random& random) {
  const std::size_t stride = arith::row_bytes(type, cols);
  Bytes bytes(rows * stride);
  for (std::size_t r = 0; r < rows; ++r) {
    std::uint8_t* row = bytes.data() + r * stride;
    const auto extreme = std::array<std::uint8_t, 4>{0x80, 0x00, 0xff, 0x7f}[r / 4 % 4];
    for (std::size_t i = 0; i < cols; ++i) {
      const float value = number(kind, i, random);
      const auto wide = std::bit_cast<std::uint32_t>(value);
      const auto half = static_cast<std::uint16_t>(wide >> 16), f16 = arith::f32_to_f16(value);
      switch (type) {
        case arith::WeightType::f32:
          std::memcpy(row + i * 4, &wide, 4);
          break;
        case arith::WeightType::bf16:
          std::memcpy(row + i * 2, &half, 2);
          break;
        case arith::WeightType::f16: {
          const std::uint16_t finite = arith::is_finite_f16(f16) ? f16 : any_scale(random);
          std::memcpy(row + i * 2, &finite, 2);
          break;
        }
        default:
          break;
      }
    }
    if (arith::is_segmented(type)) fill_segments(type, row, cols, r % 4 == 3, random);
    const arith::FileBlock block = arith::file_block(type);
    for (std::size_t at = 0; block.scales > 0 && at < stride; at += block.bytes) {
      for (std::size_t i = 0; i < block.bytes; ++i)
        row[at + i] = r % 4 == 3 ? extreme : static_cast<std::uint8_t>(random());
      for (std::size_t s = 0; s < block.scales; ++s) {
        const std::uint16_t scale = any_scale(random);
        std::memcpy(row + at + block.first_scale + 2 * s, &scale, 2);
      }
    }
  }
  return bytes;
}

// Equal bits, or the index of the first difference.
inline ::testing::AssertionResult same_bits(std::span<const float> expected, std::span<const float> found) {
  if (expected.size() != found.size()) return ::testing::AssertionFailure() << "sizes differ";
  if (std::memcmp(expected.data(), found.data(), expected.size_bytes()) == 0)
    return ::testing::AssertionSuccess();
  std::size_t i = 0;
  while (std::bit_cast<std::uint32_t>(expected[i]) == std::bit_cast<std::uint32_t>(found[i])) ++i;
  return ::testing::AssertionFailure()
         << "at " << i << " expected " << std::hexfloat << expected[i] << ", found " << found[i];
}

}  // namespace cortensor::conformance
