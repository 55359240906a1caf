// Spec: A7, A8, A9, A10. Gate (with its exponential), norm and rotation of every instruction set, against
// arith.
#include <cmath>
#include <limits>

#include "arith/matmul.h"
#include "arith/rmsnorm.h"
#include "arith/rope.h"
#include "arith/silu.h"
#include "conformance/conformance.h"

namespace cortensor::conformance {
namespace {

class A7 : public PerIsa {};
CORTENSOR_PER_ISA(A7);

std::vector<float> gate_of(const std::vector<float>& gate, const std::vector<float>& up) {
  std::vector<float> out(gate.size());
  for (std::size_t i = 0; i < gate.size(); ++i) out[i] = arith::swiglu(gate[i], up[i]);
  return out;
}

TEST_P(A7, TheGateOfAnyBitPattern) {
  Random random(7);
  std::vector<float> gate(1 << 20), up(gate.size()), found(gate.size());
  for (std::size_t i = 0; i < gate.size(); ++i) {
    do {
      gate[i] = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    } while (std::isnan(gate[i]));
    up[i] = number(Kind::ordinary, i, random);
  }
  kernels().swiglu(gate.data(), up.data(), gate.size(), found.data());
  EXPECT_TRUE(same_bits(gate_of(gate, up), found));
}

TEST_P(A7, TheGateWhereTheExponentialTurns) {
  std::vector<float> gate, up;
  for (const float centre : {0.0f, -0.0f, 87.0f, -87.0f, 88.0f, -88.0f, 0.34657359f, -0.34657359f}) {
    for (int step = -2000; step <= 2000; ++step) {
      const auto bits = std::bit_cast<std::uint32_t>(centre) + static_cast<std::uint32_t>(step);
      const float x = std::bit_cast<float>(bits);
      if (std::isnan(x)) continue;
      gate.push_back(x);
      up.push_back(1.0f);
    }
  }
  std::vector<float> found(gate.size());
  kernels().swiglu(gate.data(), up.data(), gate.size(), found.data());
  EXPECT_TRUE(same_bits(gate_of(gate, up), found));
}

TEST_P(A7, TheGateOfEveryLengthStaysInItsRow) {
  Random random(8);
  for (std::size_t n = 1; n <= 70; ++n) {
    const std::vector<float> gate = numbers(Kind::wide, n, random), up = numbers(Kind::wide, n, random);
    std::vector<float> found(n + 1, 7.0f), expected = gate_of(gate, up);
    expected.push_back(7.0f);
    kernels().swiglu(gate.data(), up.data(), n, found.data());
    ASSERT_TRUE(same_bits(expected, found));
  }
}

// Spec: A13, steps 4 and 5. Alone and with so many tokens that gate and up are computed in panels, of which
// the last is short. A row that is not finite is marked and harms nobody.
TEST_P(A7, TheFeedForwardPartOfEveryTypeInPanels) {
  constexpr std::size_t kDim = 256, kWidth = 1280, kBroken = 213;
  Random random(14);
  const auto backend = this->backend(2);
  const auto product = [](arith::WeightType type, const Bytes& file, const std::vector<float>& x,
                          std::size_t rows) {
    std::vector<float> out(rows);
    arith::matvec(type, file.data(), x, out);
    return out;
  };
  for (const arith::WeightType type : all_types()) {
    // Types may be mixed within a layer.
    const arith::WeightType up_type = random() % 2 ? type : arith::WeightType::q4_0;
    const Bytes gate = weights(type, kWidth, kDim, Kind::ordinary, random),
                up = weights(up_type, kWidth, kDim, Kind::ordinary, random),
                down = weights(type, kDim, kWidth, Kind::ordinary, random);
    const auto gate_matrix = backend->load(type, kWidth, kDim, gate),
               up_matrix = backend->load(up_type, kWidth, kDim, up),
               down_matrix = backend->load(type, kDim, kWidth, down);
    for (const std::size_t tokens : {1u, 215u}) {
      std::vector<float> x = numbers(Kind::ordinary, tokens * kDim, random);
      if (tokens > kBroken) x[kBroken * kDim + 5] = std::numeric_limits<float>::infinity();
      const std::vector<float> before = numbers(Kind::ordinary, tokens * kDim, random);
      std::vector<float> found = before;
      std::vector<std::uint8_t> failed(tokens);
      backend->feed_forward(x.data(), tokens, {gate_matrix->get(), up_matrix->get(), down_matrix->get()},
                            found.data(), failed);
      for (std::size_t t = 0; t < tokens; ++t) EXPECT_EQ(failed[t], t == kBroken) << "token " << t;
      for (const std::size_t t : {0u, 1u, 127u, 128u, 207u, 208u, 211u, 212u, 214u}) {
        if (t >= tokens) break;
        const std::vector<float> row(&x[t * kDim], &x[t * kDim] + kDim);
        const std::vector<float> gated =
            gate_of(product(type, gate, row, kWidth), product(up_type, up, row, kWidth));
        std::vector<float> expected = product(type, down, gated, kDim);
        for (std::size_t i = 0; i < kDim; ++i) expected[i] = before[t * kDim + i] + expected[i];
        ASSERT_TRUE(same_bits(expected, std::span(found).subspan(t * kDim, kDim)))
            << "type " << static_cast<int>(type) << ", token " << t << " of " << tokens;
      }
    }
  }
}

// Spec: A9
TEST_P(A7, TheNormOfEveryKindAndLength) {
  Random random(9);
  const auto backend = this->backend(2);
  for (const std::size_t dim : {1u, 7u, 8u, 31u, 64u, 100u, 511u, 512u, 513u, 1024u, 1500u, 2048u, 4096u}) {
    for (const Kind kind : kKinds) {
      constexpr std::size_t kTokens = 17;
      const std::vector<float> x = numbers(kind, kTokens * dim, random),
                               weight = numbers(Kind::wide, dim, random);
      std::vector<float> expected(x.size()), found(x.size());
      for (std::size_t t = 0; t < kTokens; ++t)
        arith::rmsnorm({&x[t * dim], dim}, weight, 1e-5f, {&expected[t * dim], dim});
      backend->rmsnorm(x.data(), kTokens, weight, 1e-5f, found.data());
      ASSERT_TRUE(same_bits(expected, found)) << dim;
      found = x;
      backend->rmsnorm(found.data(), kTokens, weight, 1e-5f, found.data());
      ASSERT_TRUE(same_bits(expected, found)) << dim << " in place";
    }
  }
}

// Spec: A10. Two sequences at different positions; some elements of a head may stay as they are.
TEST_P(A7, TheRotationOfRowsAtTheirPositions) {
  Random random(10);
  const auto backend = this->backend(2);
  for (const double base : {10000.0, 500000.0}) {
    for (const std::size_t rotary : {8u, 10u, 64u}) {
      constexpr std::size_t kHeads = 20, kDim = 64, kRows = 40;
      const std::vector<float> factors = numbers(Kind::ordinary, rotary / 2, random);
      const compute::RopeTable table(rotary, base, factors, 600);
      const compute::SequenceRows sequences[] = {{0, 33, 500, nullptr}, {33, 7, 0, nullptr}};
      std::vector<float> expected = numbers(Kind::wide, kRows * kHeads * kDim, random), found = expected;
      for (std::size_t row = 0; row < kRows; ++row) {
        const std::size_t position = row < 33 ? 500 + row : row - 33;
        std::vector<arith::SinCos> entries(rotary / 2);
        for (std::size_t i = 0; i < entries.size(); ++i)
          entries[i] = arith::rope_entry(position, arith::rope_frequency(base, rotary, i, factors[i]));
        for (std::size_t h = 0; h < kHeads; ++h)
          arith::rotate({&expected[(row * kHeads + h) * kDim], kDim}, entries);
      }
      backend->rope(found.data(), kHeads, kDim, table, sequences);
      EXPECT_TRUE(same_bits(expected, found));
    }
  }
}

}  // namespace
}  // namespace cortensor::conformance
