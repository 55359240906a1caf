// Claims: the generator gives the published words; the sampler gives the token of the specification's plain
// definition for every kind of logits and every mixture of limits; frequencies follow the probabilities;
// broken logits and parameters are refused.
#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <tuple>

#include "arith/exp.h"
#include "arith/philox.h"
#include "arith/sampling.h"

namespace cortensor::engine {
namespace {

// A deterministic source for test data.
class Words {
 public:
  explicit Words(std::uint32_t stream) : stream_(stream) {}
  std::uint32_t next() { return arith::philox({n_++, stream_, 0, 0}, {1, 2})[0]; }
  float uniform() { return static_cast<float>(next() >> 8) * 0x1p-24f; }

 private:
  std::uint32_t stream_, n_ = 0;
};

TokenId by_definition(std::span<const float> logits, const Sampling& sampling, std::uint32_t position) {
  return arith::sample(logits, {sampling.temperature, sampling.top_p, sampling.min_p, sampling.top_k},
                       arith::uniform_at(sampling.seed, position));
}

// The known answers that come with the authors' Random123 library.
TEST(Philox, GivesThePublishedWords) {
  using Four = std::array<std::uint32_t, 4>;
  EXPECT_EQ(arith::philox({0, 0, 0, 0}, {0, 0}), (Four{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(arith::philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (Four{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(arith::philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Four{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

std::vector<float> make_logits(int kind, std::size_t count, Words& words) {
  std::vector<float> logits(count);
  for (std::size_t i = 0; i < count; ++i) {
    const float u = words.uniform();
    switch (kind) {
      case 0:
        logits[i] = 8.0f * (u - 0.5f);
        break;  // flat: nothing falls away
      case 1:
        logits[i] = 60.0f * u - 30.0f;
        break;  // wide: much falls away
      case 2:
        logits[i] = std::floor(u * 7.0f);
        break;  // many equal ones
      case 3:
        logits[i] = u < 0.5f ? 0.0f : -0.0f;
        break;  // zeros of both signs
      case 4:
        logits[i] = (u - 0.5f) * 2.0f * 3e38f;
        break;  // differences overflow
      case 5:
        logits[i] = u * 1e-40f;
        break;  // subnormals
      default:
        logits[i] = -std::log(u + 1e-7f) * 3.0f + (i % 97 == 0 ? 5.0f : 0);  // a long tail
    }
  }
  return logits;
}

TEST(Sampler, AgreesWithTheDefinitionEverywhere) {
  Sampler sampler;  // one for all: what it keeps must not matter
  Words words(7);
  int compared = 0;
  for (int kind = 0; kind < 7; ++kind) {
    for (const std::size_t count : {1u, 2u, 40u, 511u, 512u, 3000u}) {
      const std::vector<float> logits = make_logits(kind, count, words);
      for (const float temperature : {0.0f, 1e-44f, 0.01f, 0.3f, 0.7f, 1.0f, 2.5f, 1e30f, 3e38f}) {
        for (const std::uint32_t top_k : {0u, 1u, 5u, 100u, 5000u}) {
          for (const auto& [top_p, min_p] : {std::pair{1.0f, 0.0f},
                                             {0.9f, 0.0f},
                                             {1.0f, 0.05f},
                                             {0.5f, 0.2f},
                                             {0.999999f, 1e-9f},
                                             {1e-30f, 0.999f}}) {
            const Sampling sampling{temperature, top_p, min_p, top_k, words.next() * 0x100000001ull};
            const std::uint32_t position = words.next();
            const auto token = sampler.sample(logits, sampling, position);
            ASSERT_TRUE(token);
            ASSERT_EQ(*token, by_definition(logits, sampling, position))
                << "kind " << kind << " count " << count << " T " << temperature << " k " << top_k << " p "
                << top_p << " min " << min_p;
            ++compared;
          }
        }
      }
    }
  }
  EXPECT_EQ(compared, 7 * 6 * 9 * 5 * 6);
}

// A long running sum is where a candidate too few would show, or a weight that is half way between two sums.
TEST(Sampler, AgreesWithTheDefinitionOnALargeVocabulary) {
  Sampler sampler;
  Words words(8);
  for (int kind = 0; kind < 8; ++kind) {
    std::vector<float> logits = make_logits(kind, 128256, words);
    if (kind == 7)  // weights that are nearly powers of two
      for (float& logit : logits) logit = -0.69314718f * std::floor(words.uniform() * 12.0f);
    for (const float temperature : {0.05f, 0.6f, 1.0f, 4.0f, 1e30f}) {
      for (const auto& [top_p, min_p, top_k] :
           {std::tuple{0.95f, 0.0f, 0u}, {1.0f, 0.0f, 0u}, {0.3f, 0.01f, 60000u}, {1.0f, 1e-4f, 1000u}}) {
        const Sampling sampling{temperature, top_p, min_p, top_k, words.next()};
        EXPECT_EQ(*sampler.sample(logits, sampling, 5), by_definition(logits, sampling, 5))
            << "kind " << kind << " T " << temperature << " p " << top_p << " min " << min_p << " k "
            << top_k;
      }
    }
  }
}

// What a draw can hardly see: the sums themselves, at every place.
TEST(OrderedWeights, SumsAreThoseOfTheSortedWeights) {
  OrderedWeights weights;
  Words words(9);
  for (int kind = 0; kind < 8; ++kind) {
    std::vector<float> logits = make_logits(kind, 20000, words);
    if (kind == 7)
      for (float& logit : logits) logit = -0.69314718f * std::floor(words.uniform() * 12.0f);
    std::vector<float> sorted = logits;
    std::sort(sorted.begin(), sorted.end(), std::greater<>());
    for (const float temperature : {0.3f, 1.0f, 5.0f}) {
      weights.set(logits, sorted[0], temperature, 0);
      std::vector<float> sums;
      float sum = 0.0f;
      for (const float logit : sorted) {
        const float quotient = (logit - sorted[0]) / temperature;
        sums.push_back(sum = sum + arith::exp(quotient));
      }
      ASSERT_LE(weights.count(), sums.size());
      ASSERT_EQ(weights.sum_at(weights.count() - 1), sums.back());  // before any bucket was looked into
      for (std::size_t place = weights.count(); place-- > 0;) {
        ASSERT_EQ(weights.sum_at(place), sums[place]) << "kind " << kind << " place " << place;
        ASSERT_EQ(weights.at(place).logit, sorted[place]);
      }
    }
  }
}

TEST(Sampler, GreedyTakesTheFirstOfTheLargest) {
  Sampler sampler;
  const std::vector<float> logits{-1.0f, 3.0f, 2.0f, 3.0f};
  EXPECT_EQ(*sampler.sample(logits, {}, 0), 1u);
  EXPECT_EQ(*sampler.sample(std::vector<float>{-0.0f, 0.0f}, {}, 0), 0u);
}

TEST(Sampler, FrequenciesFollowTheProbabilities) {
  Sampler sampler;
  const std::vector<float> logits{0.0f, 1.0f, 2.0f, -40.0f};
  const Sampling sampling{.temperature = 1.0f, .seed = 12345};
  std::array<int, 4> counts{};
  constexpr int kDraws = 40000;
  for (std::uint32_t position = 0; position < kDraws; ++position)
    ++counts[*sampler.sample(logits, sampling, position)];
  const double total = 1.0 + std::exp(1.0) + std::exp(2.0);
  for (int i = 0; i < 3; ++i) EXPECT_NEAR(counts[i] / double{kDraws}, std::exp(double(i)) / total, 0.01) << i;
  EXPECT_EQ(counts[3], 0);
}

TEST(Sampler, LogitsThatAreNotFiniteAreAnError) {
  Sampler sampler;
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    for (const float temperature : {0.0f, 1.0f}) {
      const std::vector<float> logits{1.0f, bad, 2.0f};
      EXPECT_FALSE(sampler.sample(logits, {.temperature = temperature}, 0));
    }
  }
  EXPECT_FALSE(sampler.sample({}, {}, 0));
}

TEST(Sampler, PenaltiesAndBiasesAreThoseOfTheDefinition) {
  Sampler sampler;
  Words words(9);
  const TokenId vocabulary = 700;
  for (int round = 0; round < 400; ++round) {
    const std::vector<float> logits = make_logits(round % 7 == 4 ? 1 : round % 7, vocabulary, words);
    std::vector<TokenId> prompt, answer;
    for (std::uint32_t i = words.next() % 40; i > 0; --i) prompt.push_back(words.next() % vocabulary);
    for (std::uint32_t i = words.next() % 40; i > 0; --i) answer.push_back(words.next() % 30);
    Sampling sampling{.temperature = round % 3 == 0 ? 0.0f : 0.8f, .top_p = 0.95f, .seed = words.next()};
    if (round % 2 == 0) sampling.repetition_penalty = 0.5f + 2 * words.uniform();
    if (round % 5 != 0) sampling.presence_penalty = 4 * words.uniform() - 2;
    if (round % 7 != 0) sampling.frequency_penalty = 4 * words.uniform() - 2;
    std::vector<arith::Bias> biases;
    for (TokenId token = words.next() % 90; token < vocabulary && round % 4 != 0;
         token += 1 + words.next() % 90)
      biases.push_back({token, 20 * words.uniform() - 10});
    for (const arith::Bias& one : biases) sampling.logit_bias.push_back({one.token, one.bias});
    ASSERT_TRUE(check_sampling(sampling, vocabulary));

    const std::vector<float> adjusted = arith::adjusted(
        logits, {sampling.repetition_penalty, sampling.presence_penalty, sampling.frequency_penalty, biases},
        prompt, answer);
    LogitAdjuster adjuster;
    for (int again = 0; again < 2; ++again) {  // nothing is left behind by the first
      const auto found = adjuster.adjust(logits, sampling, {prompt, answer});
      ASSERT_EQ(0, std::memcmp(found.data(), adjusted.data(), vocabulary * sizeof(float))) << round;
    }
    ASSERT_EQ(*sampler.sample(logits, sampling, 7, {prompt, answer}), by_definition(adjusted, sampling, 7));
  }
}

TEST(Sampler, ChoosesAmongTheAllowedAsTheDefinitionDoes) {
  Sampler sampler;
  Words words(10);
  for (int round = 0; round < 500; ++round) {
    const std::size_t vocabulary = 1 + words.next() % 2000;
    const std::vector<float> logits = make_logits(round % 7, vocabulary, words);
    TokenMask mask(vocabulary);
    std::vector<bool> flags(vocabulary, false);
    const float share = round % 5 == 0 ? 0.99f : 0.02f;
    for (TokenId token = 0; token < vocabulary; ++token)
      if (words.uniform() < share || token == vocabulary / 2) mask.add(token), flags[token] = true;
    const Sampling sampling{.temperature = std::array{0.0f, 0.7f, 3e38f}[round % 3],
                            .top_p = round % 2 == 0 ? 1.0f : 0.9f,
                            .top_k = round % 4 == 0 ? 3u : 0u,
                            .seed = words.next()};
    const TokenId expected =
        arith::sample(logits, {sampling.temperature, sampling.top_p, sampling.min_p, sampling.top_k},
                      arith::uniform_at(sampling.seed, 9), flags);
    ASSERT_EQ(*sampler.sample(logits, sampling, 9, {}, &mask), expected) << round;
  }
  const TokenMask none(3);
  const auto stuck = sampler.sample(std::vector<float>{1, 2, 3}, {}, 0, {}, &none);
  ASSERT_FALSE(stuck);
  EXPECT_EQ(stuck.error().kind, ErrorKind::unsupported);
}

TEST(Sampler, ALogitBiasedOutOfTheNumbersIsAnError) {
  Sampler sampler;
  const float huge = 3e38f;
  EXPECT_TRUE(sampler.sample(std::vector<float>{huge, 1.0f}, {.repetition_penalty = 0.5f}, 1));
  const std::vector<TokenId> answer{0};
  EXPECT_FALSE(sampler.sample(std::vector<float>{huge, 1.0f}, {.repetition_penalty = 0.5f}, 1, {{}, answer}));
}

TEST(Sampler, ParametersOutOfRangeAreRefusedByName) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  const auto checked = [](const Sampling& sampling) { return check_sampling(sampling, 100); };
  EXPECT_TRUE(checked({}));
  EXPECT_TRUE(checked({.temperature = 2.0f, .top_p = 0.1f, .min_p = 0.99f, .top_k = ~0u}));
  for (const float bad : {-0.1f, nan, infinity}) EXPECT_FALSE(checked({.temperature = bad})) << bad;
  for (const float bad : {0.0f, -0.1f, 1.1f, nan}) EXPECT_FALSE(checked({.top_p = bad})) << bad;
  for (const float bad : {-0.1f, 1.0f, nan}) EXPECT_FALSE(checked({.min_p = bad})) << bad;
  for (const float bad : {0.0f, -1.0f, 10.5f, nan}) EXPECT_FALSE(checked({.repetition_penalty = bad})) << bad;
  for (const float bad : {-2.1f, 2.1f, nan}) {
    EXPECT_FALSE(checked({.presence_penalty = bad})) << bad;
    EXPECT_FALSE(checked({.frequency_penalty = bad})) << bad;
  }
  EXPECT_TRUE(checked({.logit_bias = {{5, -100.0f}, {99, 100.0f}}}));
  for (const std::vector<LogitBias>& bad : {std::vector<LogitBias>{{5, 100.5f}},
                                            {{5, nan}},
                                            {{100, 0.0f}},
                                            {{5, 0.0f}, {5, 0.0f}},
                                            {{5, 0}, {4, 0}}})
    EXPECT_FALSE(checked({.logit_bias = bad}));
  EXPECT_EQ(checked({.top_p = 2.0f}).error().message.substr(0, 6), "top_p:");
}

}  // namespace
}  // namespace cortensor::engine
