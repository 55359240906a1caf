// Spec: A1, A3, A4. The activation quantiser and the finiteness check of every instruction set, against
// arith.
#include <cmath>
#include <limits>

#include "arith/quantiser.h"
#include "conformance/conformance.h"

namespace cortensor::conformance {
namespace {

class A4 : public PerIsa {
 protected:
  // Quantises the row as each token of tiles of every size; blocks past its end must be zero.
  void expect_exact(const std::vector<float>& x) {
    const std::size_t used = (x.size() + 31) / 32, blocks = used + 1;
    arith::QuantisedRow expected;
    const bool finite = arith::quantise_row(x, expected);
    expected.q.resize(blocks * 32, 0);
    expected.scale.resize(blocks, 0.0f);
    for (std::size_t tokens = 1; tokens <= compute::kTileTokens; ++tokens) {
      for (std::size_t lane = 0; lane < tokens; ++lane) {
        std::vector<std::uint32_t> tile(blocks * tokens * compute::kInputBytes / 4, 0x63636363u);
        auto* bytes = reinterpret_cast<std::uint8_t*>(tile.data());
        std::vector<std::int16_t> words(blocks * tokens * 32);
        ASSERT_EQ(kernels().quantise(x.data(), x.size(), blocks, tokens, lane, bytes, words.data()), finite);
        for (std::size_t b = 0; b < blocks; ++b) {
          const std::uint8_t* record = bytes + b * tokens * compute::kInputBytes;
          ASSERT_EQ(std::memcmp(record + 32 * lane, &expected.q[b * 32], 32), 0);
          ASSERT_EQ(std::memcmp(record + 32 * tokens + 4 * lane, &expected.scale[b], 4), 0);
          ASSERT_TRUE(
              std::equal(&expected.q[b * 32], &expected.q[b * 32] + 32, &words[32 * (b * tokens + lane)]));
        }
      }
    }
  }
};
CORTENSOR_PER_ISA(A4);

TEST_P(A4, AllKindsOfNumbersAndAllLengths) {
  Random random(1);
  for (const Kind kind : kKinds)
    for (std::size_t n = 1; n <= 130; ++n) expect_exact(numbers(kind, n, random));
}

TEST_P(A4, AnyFiniteBitPattern) {
  Random random(2);
  for (int round = 0; round < 3000; ++round) {
    std::vector<float> x(64);
    for (float& value : x) {
      do {
        value = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
      } while (!std::isfinite(value));
    }
    expect_exact(x);
  }
}

TEST_P(A4, TiesRoundToEven) {
  std::vector<float> x(32);
  for (std::size_t i = 0; i < 32; ++i) x[i] = static_cast<float>(i) + 0.5f;
  x[31] = 127.0f;
  expect_exact(x);
}

TEST_P(A4, NonFiniteNumbersAreFoundWhereverTheyStand) {
  for (const float bad : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::quiet_NaN()}) {
    for (std::size_t at = 0; at < 77; ++at) {
      std::vector<float> x(77, 1.0f);
      x[at] = bad;
      expect_exact(x);
      ASSERT_FALSE(kernels().all_finite(x.data(), x.size()));
      ASSERT_TRUE(kernels().all_finite(x.data(), at));
    }
  }
}

}  // namespace
}  // namespace cortensor::conformance
