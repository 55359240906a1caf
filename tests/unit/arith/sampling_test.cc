// The generator gives its authors' vectors; the sampling rule does what each of its parameters promises.
#include "arith/sampling.h"

#include <gtest/gtest.h>

#include <cmath>

namespace cortensor::arith {
namespace {

using Words = std::array<std::uint32_t, 4>;

TEST(Philox, GivesThePublishedVectors) {
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, UniformNumbersStayBelowOne) {
  double sum = 0;
  for (std::uint32_t position = 0; position < 10000; ++position) {
    const float u = uniform_at(7, position);
    ASSERT_GE(u, 0.0f);
    ASSERT_LT(u, 1.0f);
    sum += static_cast<double>(u);
  }
  EXPECT_NEAR(sum / 10000, 0.5, 0.02);
}

TEST(Sample, GreedyTakesTheFirstOfTheLargest) {
  const float logits[] = {1.0f, 3.0f, 3.0f, -2.0f}, zeros[] = {-0.0f, 0.0f};
  EXPECT_EQ(sample(logits, {}, 0.99f), 1u);
  EXPECT_EQ(sample(zeros, {}, 0.99f), 0u);
}

TEST(Sample, CutsKeepThePromisedPrefix) {
  const float logits[] = {0.0f, std::log(4.0f), std::log(2.0f), 0.0f};  // weights 1/4, 1, 1/2, 1/4
  const auto last = [&](const SamplingRule& rule) { return sample(logits, rule, 0.9999999f); };
  EXPECT_EQ(last({.temperature = 1.0f}), 3u);
  EXPECT_EQ(last({.temperature = 1.0f, .top_k = 1}), 1u);
  EXPECT_EQ(last({.temperature = 1.0f, .top_k = 2}), 2u);
  EXPECT_EQ(last({.temperature = 1.0f, .top_k = 100}), 3u);
  EXPECT_EQ(last({.temperature = 1.0f, .top_p = 0.01f}), 1u);
  EXPECT_EQ(last({.temperature = 1.0f, .top_p = 0.6f}), 2u);
  EXPECT_EQ(last({.temperature = 1.0f, .top_p = 0.8f}), 0u);
  EXPECT_EQ(last({.temperature = 1.0f, .min_p = 0.3f}), 2u);
  EXPECT_EQ(last({.temperature = 1.0f, .min_p = 0.9f}), 1u);
}

TEST(Sample, TokensComeAsOftenAsTheirWeightsSay) {
  const float logits[] = {std::log(0.2f), std::log(0.5f), std::log(0.3f)};
  int counts[3] = {};
  for (std::uint32_t position = 0; position < 20000; ++position)
    ++counts[sample(logits, {.temperature = 1.0f}, uniform_at(1, position))];
  EXPECT_NEAR(counts[0], 4000, 250);
  EXPECT_NEAR(counts[1], 10000, 350);
  EXPECT_NEAR(counts[2], 6000, 300);
}

TEST(Sample, ExtremeTemperaturesAreHarmless) {
  const float logits[] = {-1e30f, 5.0f, 1e30f};
  EXPECT_EQ(sample(logits, {.temperature = 1e-30f}, 0.999f), 2u);
  EXPECT_LT(sample(logits, {.temperature = 1e30f}, 0.999f), 3u);
}

}  // namespace
}  // namespace cortensor::arith
