// Claims: which final states are wanted changes no bit of them; a number that is not finite spoils a sequence
// exactly where a wanted state depends on it, and no other sequence.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>

#include "forward_fixture.h"
#include "isas.h"

namespace cortensor::engine {
namespace {

using test::RandomModel;

class ForwardOutputs : public testing::TestWithParam<const char*> {};

TEST_P(ForwardOutputs, AreTheSameWhicheverAreWanted) {
  for (const std::size_t layers : {1u, 3u}) {
    const RandomModel spec{.type = TensorType::q8_0, .layers = layers};
    const OpenModel open = OpenModel::random(spec);
    constexpr std::size_t kSequences = 3;
    FastPass fast(*open.model, GetParam(), 2, kSequences);
    ASSERT_TRUE(fast.ok());
    std::vector<std::vector<TokenId>> tokens;
    for (std::uint32_t s = 0; s < kSequences; ++s) tokens.push_back(some_tokens(120, spec.vocab_size, s));
    // Chunks that nobody wants anything of, all of, or some of, side by side.
    std::size_t done = 0, wanted = 0;
    for (const std::size_t chunk : {40u, 1u, 33u, 7u, 39u}) {
      std::vector<FastPass::Part> parts;
      for (std::size_t s = 0; s < kSequences; ++s) {
        wanted = (wanted * 7 + 5) % 45;
        parts.push_back({s, std::span(tokens[s]).subspan(done, chunk), wanted < chunk ? wanted : 0});
      }
      fast.run(parts);
      done += chunk;
    }
    for (std::size_t s = 0; s < kSequences; ++s)
      expect_same_bits(reference_states(*open.model, tokens[s]), fast.states(s),
                       "sequence " + std::to_string(s));
  }
}

// A model in which the states of all tokens but one become infinite, in the attention or in the feed-forward
// part of its only layer.
class ForwardFailures : public testing::TestWithParam<const char*> {
 protected:
  static constexpr TokenId kGood = 3, kBad = 4;

  ForwardFailures() : open_(OpenModel::random({.type = TensorType::f32, .layers = 1, .tied = false})) {
    arith::LlamaWeights& weights = open_.model->weights;
    const auto replace = [](arith::Matrix& matrix, std::vector<float>& by, const auto& change) {
      by.resize(matrix.rows * matrix.cols);
      std::memcpy(by.data(), matrix.data, by.size() * sizeof(float));
      change(by);
      matrix.data = reinterpret_cast<const std::uint8_t*>(by.data());
    };
    replace(weights.embedding, embedding_,
            [&](std::vector<float>& w) { std::fill_n(&w[kGood * weights.dim], weights.dim, 0.0f); });
    replace(weights.layers[0].attn_output, nothing_,
            [](std::vector<float>& w) { std::fill(w.begin(), w.end(), 0.0f); });
    huge_.assign(weights.dim, 3e38f);
    backend_ = compute::make_cpu_backend({1, GetParam()});
  }

  std::span<const float>& attention_norm() { return open_.model->weights.layers[0].attn_norm; }
  std::span<const float>& feed_forward_norm() { return open_.model->weights.layers[0].ffn_norm; }
  std::span<const float> huge() const { return huge_; }

  // Usable outputs of each sequence; none in one that failed.
  std::vector<std::size_t> outputs(const std::vector<std::pair<std::vector<TokenId>, std::size_t>>& wanted) {
    auto forward = Forward::create(open_.model->weights, **backend_, {64, wanted.size(), 64});
    EXPECT_TRUE(forward);
    std::vector<PageId> pages(wanted.size());
    std::vector<ForwardRows> batch;
    for (std::size_t s = 0; s < wanted.size(); ++s) {
      pages[s] = static_cast<PageId>(s);
      batch.push_back({wanted[s].first, 0, std::span(pages).subspan(s, 1), wanted[s].second});
    }
    std::vector<std::size_t> found;
    for (const ForwardResult& result : (*forward)->run(batch)) {
      EXPECT_EQ(result.failed, result.outputs < batch[found.size()].outputs);
      found.push_back(result.outputs);
    }
    return found;
  }

  OpenModel open_;
  std::vector<float> embedding_, nothing_, huge_;
  Result<std::unique_ptr<compute::Backend>> backend_ = nullptr;
};

TEST_P(ForwardFailures, OfTheLastLayerCountWhereTheStateIsWanted) {
  ASSERT_TRUE(backend_);
  feed_forward_norm() = huge();
  EXPECT_EQ(outputs({{{kBad, kGood}, 1}}), (std::vector<std::size_t>{1}));
  EXPECT_EQ(outputs({{{kBad, kGood}, 2}}), (std::vector<std::size_t>{0}));
  EXPECT_EQ(outputs({{{kGood, kGood, kBad, kGood}, 4}, {{kBad, kGood, kGood}, 2}, {{kGood, kBad}, 1}}),
            (std::vector<std::size_t>{2, 2, 0}));
}

TEST_P(ForwardFailures, OfKeysAndValuesCountForEverythingAfterThem) {
  ASSERT_TRUE(backend_);
  attention_norm() = huge();
  EXPECT_EQ(outputs({{{kBad, kGood}, 1}, {{kGood, kGood}, 1}, {{kGood, kBad, kGood}, 3}}),
            (std::vector<std::size_t>{0, 1, 1}));
}

INSTANTIATE_TEST_SUITE_P(Isas, ForwardOutputs, testing::ValuesIn(test::isas_here()));
INSTANTIATE_TEST_SUITE_P(Isas, ForwardFailures, testing::ValuesIn(test::isas_here()));

}  // namespace
}  // namespace cortensor::engine
