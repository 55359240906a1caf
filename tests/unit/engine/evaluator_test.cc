// Claims: the evaluator's logits are the reference's, from whichever position on they are asked for;
// perplexity scores each token once, from those logits, with the context it promises.
#include "engine/evaluator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "arith/llama_reference.h"
#include "engine/perplexity.h"
#include "random_model.h"
#include "temporary_folder.h"

namespace cortensor::engine {
namespace {

using ::testing::HasSubstr;

std::vector<TokenId> some_tokens(std::size_t count, std::uint32_t vocab_size) {
  std::vector<TokenId> tokens;
  for (std::uint32_t i = 0, seed = 1; i < count; ++i) {
    seed = seed * 1664525u + 1013904223u;
    tokens.push_back((seed >> 8) % vocab_size);
  }
  return tokens;
}

class EvaluatorTest : public testing::Test {
 protected:
  void SetUp() override {
    test::RandomModel spec;
    spec.context_length = 600;
    ASSERT_TRUE(test::write_random_model(spec, path_));
    auto loaded = Evaluator::load(path_, {"", 2, 0});
    ASSERT_TRUE(loaded) << loaded.error().message;
    model_ = std::move(*loaded);
  }

  std::vector<std::vector<float>> reference(std::span<const TokenId> tokens) {
    const auto file = GgufFile::open(path_);
    const auto model = bind_model(*file);
    arith::LlamaReference llama(model->weights);
    std::vector<std::vector<float>> rows;
    for (const TokenId token : tokens) {
      EXPECT_TRUE(llama.step(token));
      rows.emplace_back(model->config.vocab_size);
      EXPECT_TRUE(llama.logits(rows.back()));
    }
    return rows;
  }

  TemporaryFolder folder_;
  std::string path_ = folder_.path("model.gguf");
  std::unique_ptr<Evaluator> model_;
};

TEST_F(EvaluatorTest, LogitsAreTheReferences) {
  const auto tokens = some_tokens(300, 320);  // more than one piece
  const auto exact = reference(tokens);
  for (const std::size_t first : {0u, 10u, 256u, 299u}) {
    std::size_t next = first;
    const auto status = model_->run(tokens, first, [&](std::size_t position, std::span<const float> logits) {
      EXPECT_EQ(position, next++);
      EXPECT_EQ(std::memcmp(logits.data(), exact[position].data(), logits.size_bytes()), 0) << position;
      return ok();
    });
    EXPECT_TRUE(status);
    EXPECT_EQ(next, tokens.size());
  }
}

TEST_F(EvaluatorTest, RefusesWhatItCannotCompute) {
  const auto nothing = [](std::size_t, std::span<const float>) { return ok(); };
  EXPECT_THAT(model_->run({}, 0, nothing).error().message, HasSubstr("1 to 600 tokens"));
  EXPECT_THAT(model_->run(some_tokens(601, 320), 0, nothing).error().message, HasSubstr("found 601"));
  const TokenId outside[] = {1, 320};
  EXPECT_THAT(model_->run(outside, 0, nothing).error().message,
              HasSubstr("token 1: expected an id below 320"));
  const TokenId one[] = {1};
  const auto refused = model_->run(one, 0, [](std::size_t, std::span<const float>) -> Status {
    return fail(ErrorKind::unavailable, "full");
  });
  EXPECT_EQ(refused.error().message, "full");
}

TEST_F(EvaluatorTest, PerplexityScoresTheSecondHalfOfEachWindow) {
  const auto tokenizer = Tokenizer::from_gguf(model_->file());
  ASSERT_TRUE(tokenizer);
  const auto text = some_tokens(100, 256);
  PerplexityOptions options{32, 16, 0};
  const auto report = measure_perplexity(*model_, *tokenizer, text, options);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->windows, 5u);  // 31 + 4 * 16 <= 100
  EXPECT_EQ(report->tokens, 80u);

  double sum = 0, squares = 0;
  for (std::size_t w = 0; w < 5; ++w) {
    std::vector<TokenId> window{test::kBeginOfText};
    window.insert(window.end(), text.begin() + static_cast<std::ptrdiff_t>(16 * w),
                  text.begin() + static_cast<std::ptrdiff_t>(16 * w + 31));
    const auto logits = reference(window);
    for (std::size_t p = 16; p < 32; ++p) {
      double all = 0;
      for (const float logit : logits[p - 1]) all += std::exp(static_cast<double>(logit));
      const double nll = std::log(all) - static_cast<double>(logits[p - 1][window[p]]);
      sum += nll;
      squares += nll * nll;
    }
  }
  EXPECT_NEAR(report->nll, sum / 80, 1e-12);
  EXPECT_NEAR(report->perplexity, std::exp(sum / 80), 1e-9);
  EXPECT_NEAR(report->standard_error, std::sqrt((squares / 80 - sum / 80 * sum / 80) / 80), 1e-9);

  options.windows = 2;
  EXPECT_EQ(measure_perplexity(*model_, *tokenizer, text, options)->tokens, 32u);
  options = {32, 31, 0};  // windows side by side: half of the text is scored
  EXPECT_EQ(measure_perplexity(*model_, *tokenizer, text, options)->tokens, 48u);
  options = {128, 64, 0};
  EXPECT_THAT(measure_perplexity(*model_, *tokenizer, text, options).error().message,
              HasSubstr("the text has 100 tokens: expected at least 127"));
  options = {601, 64, 0};
  EXPECT_THAT(measure_perplexity(*model_, *tokenizer, text, options).error().message, HasSubstr("8 to 600"));
}

TEST(NegativeLogLikelihood, SurvivesExtremes) {
  const float logits[] = {3e38f, -3e38f, 0.0f};
  EXPECT_EQ(negative_log_likelihood(logits, 0), 0.0);
  EXPECT_EQ(negative_log_likelihood(logits, 1), 2 * static_cast<double>(3e38f));
  const float level[] = {-5.0f, -5.0f, -5.0f, -5.0f};
  EXPECT_NEAR(negative_log_likelihood(level, 2), std::log(4.0), 1e-15);
}

}  // namespace
}  // namespace cortensor::engine
