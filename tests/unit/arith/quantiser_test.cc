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

}  // namespace
}  // namespace cortensor::arith
