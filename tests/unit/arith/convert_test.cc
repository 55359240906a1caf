// Conversions and roundings, checked against their definition: the nearest representable value, ties to even.
#include "arith/convert.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

namespace cortensor::arith {
namespace {

TEST(Convert, EveryHalfSurvivesTheWayThroughBinary32) {
  for (std::uint32_t h = 0; h < 0x10000; ++h) {
    const auto half = static_cast<std::uint16_t>(h);
    const float wide = f16_to_f32(half);
    if (std::isnan(wide)) continue;
    ASSERT_EQ(f32_to_f16(wide), half);
  }
}

TEST(Convert, HalvesAreWhatTheirFieldsSay) {
  for (std::uint32_t h = 0; h < 0x7c00; ++h) {
    const int exponent = static_cast<int>(h >> 10), mantissa = static_cast<int>(h & 0x3ff);
    const double expected =
        exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
    ASSERT_EQ(static_cast<double>(f16_to_f32(static_cast<std::uint16_t>(h))), expected);
    ASSERT_EQ(static_cast<double>(f16_to_f32(static_cast<std::uint16_t>(h | 0x8000))), -expected);
  }
}

// Between neighbours the midpoint goes to the even one, and whatever is nearer to one of them goes there.
TEST(Convert, NarrowingRoundsToNearestEven) {
  for (std::uint16_t h = 0; h < 0x7bff; ++h) {
    const auto next = static_cast<std::uint16_t>(h + 1), even = h % 2 == 0 ? h : next;
    const float low = f16_to_f32(h), high = f16_to_f32(next);
    const float middle = low + (high - low) / 2.0f;
    ASSERT_EQ(f32_to_f16(middle), even);
    ASSERT_EQ(f32_to_f16(-middle), even | 0x8000);
    ASSERT_EQ(f32_to_f16(std::nextafter(middle, 0.0f)), h);
    ASSERT_EQ(f32_to_f16(std::nextafter(middle, 1e9f)), next);
  }
}

TEST(Convert, LargeNumbersAndNaNs) {
  EXPECT_EQ(f32_to_f16(65504.0f), 0x7bff);
  EXPECT_EQ(f32_to_f16(std::nextafter(65520.0f, 0.0f)), 0x7bff);
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7c00);
  EXPECT_EQ(f32_to_f16(-std::numeric_limits<float>::infinity()), 0xfc00);
  EXPECT_FALSE(is_finite_f16(f32_to_f16(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_TRUE(std::isnan(f16_to_f32(0x7e00)));
  EXPECT_EQ(bf16_to_f32(0x3fc0), 1.5f);
  EXPECT_EQ(std::bit_cast<std::uint32_t>(bf16_to_f32(0x8000)), 0x80000000u);
}

TEST(Convert, TiesGoToEvenIntegers) {
  for (int n = -1000; n < 1000; ++n) {
    const float tie = static_cast<float>(n) + 0.5f;
    ASSERT_EQ(round_to_int(tie), n % 2 == 0 ? n : n + 1);
    ASSERT_EQ(round_to_int(std::nextafter(tie, -1e9f)), n);
    ASSERT_EQ(round_to_int(std::nextafter(tie, 1e9f)), n + 1);
  }
}

}  // namespace
}  // namespace cortensor::arith
