// Quantisers keep their ranges and their error bounds, and refuse what they can't represent.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <random>

#include "arith/kv_cache.h"
#include "arith/quantiser.h"
#include "arith/weight_quantiser.h"

namespace cortensor::arith {
namespace {

std::array<float, 32> random_block(std::mt19937& random, int scale) {
  std::array<float, 32> x;
  for (float& value : x) value = std::ldexp(std::uniform_real_distribution<float>(-1, 1)(random), scale);
  return x;
}

TEST(Quantiser, StaysWithinHalfAStepAndTheRange) {
  std::mt19937 random(1);
  for (int scale = -60; scale < 120; ++scale) {
    const auto x = random_block(random, scale);
    std::int8_t q[32];
    float d = 0;
    ASSERT_TRUE(quantise_block(x, q, d));
    for (std::size_t i = 0; i < 32; ++i) {
      ASSERT_LE(std::abs(q[i]), 127);
      ASSERT_LE(std::fabs(x[i] - static_cast<float>(q[i]) * d), d * 0.5001f);
    }
  }
}

TEST(Quantiser, BlocksBelowTheThresholdVanish) {
  std::int8_t q[2];
  float d = 1;
  const float below[] = {std::nextafter(0x1p-64f, 0.0f), 0.0f}, at[] = {0x1p-64f, 0.0f};
  ASSERT_TRUE(quantise_block(below, q, d));
  EXPECT_EQ(d, 0.0f);
  EXPECT_EQ(q[0], 0);
  ASSERT_TRUE(quantise_block(at, q, d));
  EXPECT_GE(d, 0x1p-71f);
  EXPECT_EQ(q[0], 127);
}

TEST(CacheQuantiser, StaysInRangeAlsoWithSubnormalScales) {
  std::mt19937 random(2);
  for (int scale = -30; scale < 22; ++scale) {
    const auto x = random_block(random, scale);
    std::int8_t q[32];
    std::uint16_t bits = 0;
    ASSERT_TRUE(quantise_block_f16(x, q, bits));
    const float d = f16_to_f32(bits);
    for (std::size_t i = 0; i < 32; ++i) {
      ASSERT_LE(std::abs(q[i]), 127);
      if (d >= 0x1p-14f) {
        ASSERT_LE(std::fabs(x[i] - static_cast<float>(q[i]) * d), d * 0.6f);
      }
    }
  }
}

TEST(CacheQuantiser, RefusesWhatNoScaleHolds) {
  std::int8_t q[1];
  std::uint16_t d = 1;
  for (const float bad : {8.4e6f, INFINITY, NAN}) {
    EXPECT_FALSE(quantise_block_f16({&bad, 1}, q, d));
    EXPECT_EQ(d, 0);
    EXPECT_EQ(q[0], 0);
  }
}

TEST(WeightQuantiser, Q4StaysWithinAStepAndKeepsTheExtreme) {
  std::mt19937 random(3);
  for (int n = 0; n < 200; ++n) {
    const auto x = random_block(random, n % 20 - 6);
    BlockQ4 block;
    ASSERT_TRUE(quantise_weights(std::span<const float, 32>(x), block));
    const float d = f16_to_f32(block.scale);
    std::size_t extreme = 0;
    for (std::size_t i = 0; i < 32; ++i) {
      if (std::fabs(x[i]) > std::fabs(x[extreme])) extreme = i;
      ASSERT_LE(std::fabs(x[i] - d * static_cast<float>(weight_of(block, i))), std::fabs(d) * 1.01f);
    }
    ASSERT_EQ(weight_of(block, extreme), -8);
  }
}

TEST(WeightQuantiser, ZeroBlocksAndRefusals) {
  std::array<float, 32> x{};
  BlockQ4 q4;
  BlockQ8 q8;
  ASSERT_TRUE(quantise_weights(std::span<const float, 32>(x), q4));
  EXPECT_EQ(q4.scale, 0);
  EXPECT_EQ(weight_of(q4, 31), 0);
  ASSERT_TRUE(quantise_weights(std::span<const float, 32>(x), q8));
  for (const float bad : {1e30f, INFINITY, NAN}) {
    x[17] = bad;
    EXPECT_FALSE(quantise_weights(std::span<const float, 32>(x), q4));
    EXPECT_FALSE(quantise_weights(std::span<const float, 32>(x), q8));
  }
}

constexpr WeightType kFitted[] = {WeightType::q4_1, WeightType::q5_0, WeightType::q5_1, WeightType::q2_k,
                                  WeightType::q3_k, WeightType::q4_k, WeightType::q5_k, WeightType::q6_k};

double squared_error(std::span<const float> x, std::span<const float> y) {
  double sum = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += std::pow(double{x[i]} - double{y[i]}, 2);
  return sum;
}

// The plain way with as many bits: the largest magnitude, or the span, of 32 or 16 weights over the grid.
double plain_error(WeightType type, std::span<const float> x) {
  const bool offset = type != WeightType::q5_0 && type != WeightType::q3_k && type != WeightType::q6_k;
  const bool halves = type == WeightType::q2_k || type == WeightType::q3_k || type == WeightType::q6_k;
  const int levels = type == WeightType::q2_k                               ? 3
                     : type == WeightType::q3_k                             ? 7
                     : type == WeightType::q4_1 || type == WeightType::q4_k ? 15
                     : type == WeightType::q6_k                             ? 63
                                                                            : 31;
  double sum = 0.0;
  for (std::size_t at = 0; at < x.size(); at += halves ? 16 : 32) {
    const auto part = x.subspan(at, halves ? 16 : 32);
    const auto [low, high] = std::minmax_element(part.begin(), part.end());
    const double largest = std::max(std::fabs(double{*low}), std::fabs(double{*high}));
    const double step = offset ? (double{*high} - double{*low}) / levels : largest / ((levels + 1) / 2);
    const double start = offset ? double{*low} : -step * ((levels + 1) / 2);
    for (const double v : part) {
      const double q = std::clamp(std::nearbyint((v - start) / step), 0.0, static_cast<double>(levels));
      sum += std::pow(v - (step * q + start), 2);
    }
  }
  return sum;
}

// Also a proof that the bytes are put where they are read.
TEST(WeightQuantiser, FittedTypesAreNoWorseThanPlainRounding) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  std::vector<float> x(256 * 40), y(x.size());
  for (float& v : x) v = normal(random);
  for (const WeightType type : kFitted) {
    std::vector<std::uint8_t> bytes(row_bytes(type, x.size()));
    ASSERT_TRUE(quantise_weights(type, x, bytes.data()));
    widen_row(type, bytes.data(), y);
    EXPECT_LT(squared_error(x, y), plain_error(type, x)) << static_cast<int>(type);
  }
}

TEST(WeightQuantiser, FittedTypesOfSpecialWeights) {
  for (const WeightType type : kFitted) {
    std::vector<float> x(256), y(256);
    std::vector<std::uint8_t> bytes(row_bytes(type, x.size()));
    ASSERT_TRUE(quantise_weights(type, x, bytes.data()));
    EXPECT_TRUE(row_is_finite(type, bytes.data(), x.size()));
    widen_row(type, bytes.data(), y);
    EXPECT_EQ(x, y) << "zeros stay zeros, type " << static_cast<int>(type);
    for (const float tiny : {0x1p-140f, 0x1p-30f}) {
      for (std::size_t i = 0; i < x.size(); ++i) x[i] = i % 3 == 0 ? tiny : -tiny;
      ASSERT_TRUE(quantise_weights(type, x, bytes.data()));
      widen_row(type, bytes.data(), y);
      EXPECT_LE(squared_error(x, y), 4 * squared_error(x, std::vector<float>(256)));
    }
    for (const float bad : {1e30f, INFINITY, NAN}) {
      x[100] = bad;
      EXPECT_FALSE(quantise_weights(type, x, bytes.data())) << bad;
    }
  }
}

}  // namespace
}  // namespace cortensor::arith
