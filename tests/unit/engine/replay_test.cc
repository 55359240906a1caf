// Claims: a replay accepts every honest answer, whichever engine gave it, and names the exact position and
// kind of the first thing that is wrong in any other.
#include <gmock/gmock.h>

#include <algorithm>
#include <future>
#include <latch>

#include "engine_fixture.h"

namespace cortensor {

void PrintTo(const Sampling& sampling, std::ostream* out) {
  *out << "temperature " << sampling.temperature;
}

}  // namespace cortensor

namespace cortensor::engine {
namespace {

constexpr std::uint32_t kTokens = 80;
const Sampling kSeeded{.temperature = 0.8f, .top_p = 0.9f, .seed = 7};
const Sampling kPenalised{.temperature = 0.8f,
                          .seed = 7,
                          .repetition_penalty = 1.2f,
                          .presence_penalty = 0.5f,
                          .frequency_penalty = 0.25f,
                          .logit_bias = {{9, 1.5f}}};

class Replay : public testing::TestWithParam<Sampling> {
 protected:
  static const ModelFile& file() {
    static const ModelFile model({.type = TensorType::q4_0});
    return model;
  }
  Replay() {
    request_ = request_of(prompt_of(70, 3), kTokens, GetParam());
    honest_ = generate(*engine_, request_);
  }
  void expect(ReplayFinding finding, std::size_t position, const std::vector<Step>& steps,
              FinishReason finish) {
    const auto result = engine_->replay(request_, steps, finish);
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(to_string(result->finding), to_string(finding));
    EXPECT_EQ(result->position, position);
    EXPECT_EQ(result->expected.empty(), finding == ReplayFinding::valid);
    EXPECT_EQ(result->found.empty(), finding == ReplayFinding::valid);
  }

  std::unique_ptr<Engine> engine_ = file().engine({"", 2, 8, 0, 32});
  GenerationRequest request_;
  Answer honest_;
};

TEST_P(Replay, AcceptsHonestAnswersWhateverComputedThem) {
  EXPECT_EQ(honest_.finish, FinishReason::length);
  expect(ReplayFinding::valid, kTokens, honest_.steps, FinishReason::length);
  for (const std::size_t chunk : {1u, 13u, 256u}) {
    const auto other = file().engine({"scalar", 1, 2, 0, chunk});
    const auto result = other->replay(request_, honest_.steps, FinishReason::length);
    ASSERT_TRUE(result);
    EXPECT_TRUE(result->valid());
  }
}

TEST_P(Replay, NamesEveryAlteredTokenAndDigest) {
  for (std::size_t position = 0; position < kTokens; position += 1 + position / 8) {
    std::vector<Step> altered = honest_.steps;
    altered[position].token ^= 1;
    expect(ReplayFinding::token_differs, position, altered, FinishReason::length);
    altered[position].token = 0xffffffff;  // outside the vocabulary
    expect(ReplayFinding::token_differs, position, altered, FinishReason::length);
    altered = honest_.steps;
    altered[position].digest[31] ^= 0x80;
    expect(ReplayFinding::digest_differs, position, altered, FinishReason::length);
  }
}

TEST_P(Replay, NamesTheFirstOfSeveralErrors) {
  std::vector<Step> altered = honest_.steps;
  altered[50].token ^= 1;
  altered[20].digest[0] ^= 1;
  altered[60].token ^= 1;
  expect(ReplayFinding::digest_differs, 20, altered, FinishReason::stop);
}

TEST_P(Replay, NamesACutAnswer) {
  for (const std::size_t length : {0u, 1u, 40u, 79u}) {
    const std::vector<Step> cut(honest_.steps.begin(), honest_.steps.begin() + length);
    expect(ReplayFinding::no_end, length, cut, FinishReason::length);
    expect(ReplayFinding::no_end, length, cut, FinishReason::stop);
  }
}

TEST_P(Replay, NamesAnAnswerThatGoesOn) {
  std::vector<Step> longer = honest_.steps;
  longer.push_back(longer.back());
  expect(ReplayFinding::past_end, kTokens, longer, FinishReason::length);
  longer.insert(longer.end(), 500, longer.back());  // beyond the context
  expect(ReplayFinding::past_end, kTokens, longer, FinishReason::length);

  request_.stop_tokens = {honest_.steps[30].token};
  std::size_t end = 0;
  while (honest_.steps[end].token != request_.stop_tokens[0]) ++end;
  expect(ReplayFinding::past_end, end + 1, honest_.steps, FinishReason::length);
  const std::vector<Step> stopped(honest_.steps.begin(),
                                  honest_.steps.begin() + static_cast<std::ptrdiff_t>(end) + 1);
  expect(ReplayFinding::valid, end + 1, stopped, FinishReason::stop);
  expect(ReplayFinding::wrong_reason, end, stopped, FinishReason::length);
}

TEST_P(Replay, NamesAWrongReason) {
  expect(ReplayFinding::wrong_reason, kTokens - 1, honest_.steps, FinishReason::stop);
}

TEST_P(Replay, SeesAnotherModelAtTheFirstPosition) {
  const ModelFile other({.type = TensorType::q8_0});
  const auto result = other.engine({"", 1, 2, 0, 64})->replay(request_, honest_.steps, FinishReason::length);
  ASSERT_TRUE(result);
  EXPECT_FALSE(result->valid());
  EXPECT_EQ(result->position, 0u);
}

TEST_P(Replay, StopsAtTheFirstError) {
  std::vector<Step> altered = honest_.steps;
  altered[0].token ^= 1;
  const std::uint64_t before = engine_->load_now().prompt_rows;
  expect(ReplayFinding::token_differs, 0, altered, FinishReason::length);
  EXPECT_LE(engine_->load_now().prompt_rows - before, 96u);  // three chunks of 32 hold the prompt of 70
}

TEST_P(Replay, RunsBesideGenerations) {
  std::vector<Pending> others;
  for (std::uint32_t i = 0; i < 4; ++i)
    others.emplace_back(*engine_, Submission{request_of(prompt_of(20, i), 100, GetParam()), {}});
  expect(ReplayFinding::valid, kTokens, honest_.steps, FinishReason::length);
  std::vector<Answer> answers;
  for (Pending& other : others) answers.push_back(other.wait());
  for (std::uint32_t i = 0; i < 4; ++i)
    EXPECT_EQ(answers[i].steps, generate(*engine_, request_of(prompt_of(20, i), 100, GetParam())).steps);
}

// The engine thread is held inside another sequence's callback while the replay is submitted and cancelled,
// so the replay cannot have ended before.
TEST_P(Replay, CanBeCancelled) {
  std::promise<Result<ReplayResult>> promise;
  std::latch held(1), release(1);
  const auto engine = file().engine({"", 1, 2, 0, 1});
  Callbacks holding;
  holding.on_step = [&](std::size_t position, const Step&, const Logprobs*) {
    if (position > 0) return;
    held.count_down();
    release.wait();
  };
  holding.on_finish = [](FinishReason, const Digest&) {};
  holding.on_error = [](const Error&) {};
  ASSERT_TRUE(engine->submit({request_, {}, {}}, holding));
  held.wait();
  const auto handle = engine->submit_replay(request_, honest_.steps, FinishReason::length,
                                            [&](Result<ReplayResult> result) { promise.set_value(result); });
  ASSERT_TRUE(handle);
  engine->cancel(*handle);
  release.count_down();
  const auto result = promise.get_future().get();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind, ErrorKind::cancelled);
}

INSTANTIATE_TEST_SUITE_P(Samplings, Replay, testing::Values(Sampling{}, kSeeded, kPenalised),
                         [](const auto& test) {
                           return test.param.repetition_penalty != 1.0f ? "Penalised"
                                  : test.param.temperature == 0.0f      ? "Greedy"
                                                                        : "Seeded";
                         });

}  // namespace
}  // namespace cortensor::engine
