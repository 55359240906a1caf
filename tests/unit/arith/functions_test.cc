// The functions of the specification compute what their names say, as accurately as it claims.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "arith/attention.h"
#include "arith/dot.h"
#include "arith/rope.h"
#include "arith/silu.h"

namespace cortensor::arith {
namespace {

TEST(Exp, IsAsAccurateAsClaimed) {
  double worst = 0;
  for (int n = 0; n < 1'750'000; ++n) {
    const float x = -87.0f + static_cast<float>(n) * 1e-4f;
    const double exact = std::exp(static_cast<double>(x));
    worst = std::max(worst, std::fabs(static_cast<double>(exp(x)) - exact) / exact);
  }
  EXPECT_LT(worst, 8.5e-8);
  EXPECT_EQ(exp(0.0f), 1.0f);
  EXPECT_EQ(exp(-0.0f), 1.0f);
}

TEST(Exp, IsNeverZeroInfiniteOrSubnormal) {
  for (const float x : {-INFINITY, -1e30f, -87.5f, 88.5f, 1e30f, INFINITY, NAN})
    EXPECT_TRUE(std::isnormal(exp(x)));
  EXPECT_EQ(exp(NAN), exp(-87.0f));
}

TEST(Silu, IsNearItsDefinition) {
  for (int n = -4600; n <= 4600; ++n) {
    const float x = static_cast<float>(n) * 0.0173f;
    const double exact = static_cast<double>(x) / (1.0 + std::exp(-static_cast<double>(x)));
    EXPECT_NEAR(static_cast<double>(silu(x)), exact, std::abs(exact) * 2.5e-7);
  }
}

// With the result m * 2^-e, 1 / sqrt(d) lies between (2m - 1) and (2m + 1) units of 2^-(e + 1), in exact
// integers.
TEST(AttentionScale, IsCorrectlyRounded) {
  using Wide = unsigned __int128;
  for (std::uint64_t d = 8; d <= 8192; d += 8) {
    int exponent = 0;
    const float fraction = std::frexp(attention_scale(d), &exponent);
    const auto m = static_cast<Wide>(std::ldexp(fraction, 24));
    const Wide bound = Wide{1} << (2 * (24 - exponent) + 2);
    ASSERT_TRUE((2 * m - 1) * (2 * m - 1) * d < bound) << d;
    ASSERT_TRUE(bound < (2 * m + 1) * (2 * m + 1) * d) << d;
  }
}

TEST(Rope, FrequenciesAndSinesAreAccurate) {
  for (const double base : {1.0, 10000.0, 500000.0}) {
    for (const std::size_t rotary : {8u, 64u, 80u, 128u}) {
      for (std::size_t i = 0; i < rotary / 2; ++i) {
        const double exact = std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(rotary));
        ASSERT_NEAR(rope_frequency(base, rotary, i, 1.0f) / exact, 1.0, 4e-15);
        ASSERT_EQ(rope_frequency(base, rotary, i, 8.0f), rope_frequency(base, rotary, i, 1.0f) / 8.0);
      }
    }
  }
  std::mt19937_64 random(1);
  for (int n = 0; n < 200000; ++n) {
    const double angle = std::uniform_real_distribution<double>(0.0, n % 2 == 0 ? 7.0 : 134217728.0)(random);
    const SinCos found = sincos_of(angle);
    ASSERT_NEAR(static_cast<double>(found.sin), std::sin(angle), 3.1e-8);
    ASSERT_NEAR(static_cast<double>(found.cos), std::cos(angle), 3.1e-8);
  }
}

// The first segment's total is taken as it is: a product that underflows to -0 stays -0.
TEST(Dot, SegmentsAreAddedInOrder) {
  const float tiny[] = {-0x1p-149f}, quarter[] = {0x1p-2f};
  EXPECT_TRUE(std::signbit(dot_regular(tiny, quarter)));

  std::vector<float> w(1025, 0.0f);
  const std::vector<float> x(1025, 1.0f);
  w[0] = 0x1p24f, w[1] = 1.0f;   // ties to 2^24
  w[512] = 1.0f, w[513] = 2.0f;  // 2^24 + 3 ties to 2^24 + 4
  w[1024] = 1.0f;                // 2^24 + 5 ties to 2^24 + 4
  EXPECT_EQ(dot_regular(w, x), 0x1p24f + 4.0f);
}

}  // namespace
}  // namespace cortensor::arith
