// Claims: an embedding is that of the reference pass, bit for bit, whatever the batch, the chunks, the
// threads and the instruction set; its transcript is one step that a replay accepts, and no other; it can be
// cancelled.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "arith/embedding.h"
#include "arith/llama_reference.h"
#include "engine/gguf_file.h"
#include "engine/model.h"
#include "engine/transcript.h"
#include "engine_fixture.h"

namespace cortensor::engine {
namespace {

constexpr std::uint32_t kDim = 64;  // of the random model

const ModelFile& model_file() {
  static const ModelFile file({.type = TensorType::q8_0});
  return file;
}

std::vector<float> reference_embedding(const GenerationRequest& request) {
  const auto file = GgufFile::open(model_file().path());
  const auto model = bind_model(*file);
  arith::LlamaReference reference(model->weights);
  std::vector<double> sums(kDim);
  for (const TokenId token : request.prompt) {
    reference.step(token);
    arith::add_state(sums, reference.hidden());
  }
  std::vector<float> elements(request.embedding);
  EXPECT_TRUE(arith::direction_of(sums, elements));
  return elements;
}

void expect_embedding(const std::vector<float>& expected, const Answer& found) {
  ASSERT_FALSE(found.error) << found.error->message;
  ASSERT_EQ(found.embedding.size(), expected.size());
  EXPECT_EQ(std::memcmp(found.embedding.data(), expected.data(), expected.size() * sizeof(float)), 0);
  const Step step{kEmbeddingToken, position_digest(expected, kEmbeddingToken)};
  EXPECT_THAT(found.steps, testing::ElementsAre(step));
  EXPECT_EQ(found.finish, FinishReason::length);
  EXPECT_EQ(found.root, transcript_root({&step, 1}));
}

TEST(Embedding, EqualsTheReferenceWhateverComputesIt) {
  for (const std::uint32_t elements : {kDim, 1u, 17u}) {
    const GenerationRequest request = embedding_request(prompt_of(101, elements), elements);
    const std::vector<float> expected = reference_embedding(request);
    for (const char* isa : {"scalar", "avx2", "avx512", "amx"})
      for (const std::size_t threads : {1u, 2u})
        for (const std::size_t chunk : {1u, 7u, 64u, 256u}) {
          auto engine = Engine::load(model_file().path(), {isa, threads, 2, 0, chunk});
          if (!engine && engine.error().kind == ErrorKind::unsupported) continue;  // not on this processor
          ASSERT_TRUE(engine) << engine.error().message;
          expect_embedding(expected, generate(**engine, request));
        }
  }
}

TEST(Embedding, HasLengthOne) {
  const auto engine = model_file().engine({});
  for (const std::uint32_t elements : {kDim, 5u}) {
    double squares = 0;
    for (const float x : generate(*engine, embedding_request(prompt_of(9, 1), elements)).embedding)
      squares += static_cast<double>(x) * static_cast<double>(x);
    EXPECT_NEAR(squares, 1.0, 1e-6);
  }
}

TEST(Embedding, NeitherDisturbsNorIsDisturbedByCompany) {
  const auto engine = model_file().engine({"", 2, 16, 0, 24});
  std::vector<GenerationRequest> requests;
  for (std::uint32_t i = 0; i < 12; ++i)
    requests.push_back(i % 3 == 1 ? embedding_request(prompt_of(5 + 20 * i, i), kDim)
                                  : request_of(prompt_of(3 + 10 * i, i), 40));
  std::vector<Pending> together;
  for (const GenerationRequest& request : requests) together.emplace_back(*engine, Submission{request, {}});
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const Answer found = together[i].wait();
    if (requests[i].embedding > 0)
      expect_embedding(reference_embedding(requests[i]), found);
    else
      EXPECT_EQ(found.root, generate(*engine, requests[i]).root);
  }
  EXPECT_EQ(engine->load_now().sequences, 0u);
}

TEST(Embedding, IsReplayedAndNothingElsePasses) {
  const auto engine = model_file().engine({"", 1, 2, 0, 32});
  const GenerationRequest request = embedding_request(prompt_of(70, 3), kDim);
  const std::vector<Step> honest = generate(*engine, request).steps;
  const auto found = [&](std::vector<Step> claimed, FinishReason finish = FinishReason::length) {
    const auto result = engine->replay(request, claimed, finish);
    EXPECT_TRUE(result) << result.error().message;
    return result ? result->finding : ReplayFinding::valid;
  };
  EXPECT_EQ(found(honest), ReplayFinding::valid);
  EXPECT_EQ(found(honest, FinishReason::stop), ReplayFinding::wrong_reason);
  EXPECT_EQ(found({}), ReplayFinding::no_end);
  EXPECT_EQ(found({honest[0], honest[0]}), ReplayFinding::past_end);
  EXPECT_EQ(found({{1, honest[0].digest}}), ReplayFinding::token_differs);
  std::vector<Step> altered = honest;
  altered[0].digest[31] ^= 1;
  EXPECT_EQ(found(altered), ReplayFinding::digest_differs);
  EXPECT_EQ(found(generate(*engine, embedding_request(prompt_of(70, 3), kDim - 1)).steps),
            ReplayFinding::digest_differs);
}

TEST(Embedding, NeedsEveryPositionAndSharesWhatItComputed) {
  const auto engine = model_file().engine({"", 2, 2, 0, 64});
  const std::vector<TokenId> prompt = prompt_of(150, 3);
  const auto run = [&](const GenerationRequest& request) {
    Submission submission{request, {}};
    submission.cache_salt = Bytes32{1};
    return Pending(*engine, std::move(submission)).wait();
  };
  const auto cached = [&] { return engine->load_now().cached_rows; };
  expect_embedding(reference_embedding(embedding_request(prompt, kDim)),
                   run(embedding_request(prompt, kDim)));
  EXPECT_EQ(run(request_of(prompt, 5)).steps, generate(*engine, request_of(prompt, 5)).steps);
  const auto shared = cached();
  EXPECT_GT(shared, 0u);
  expect_embedding(reference_embedding(embedding_request(prompt, 7)), run(embedding_request(prompt, 7)));
  EXPECT_EQ(cached(), shared);
}

TEST(Embedding, StartsAgainWhereAnotherNodeLeftOff) {
  const auto engine = model_file().engine({});
  const GenerationRequest request = embedding_request(prompt_of(20, 3), kDim);
  expect_embedding(reference_embedding(request), generate(*engine, request, {kEmbeddingToken}));
  EXPECT_EQ(generate(*engine, request, {kEmbeddingToken + 1}).error->kind, ErrorKind::conflict);
}

TEST(Embedding, RefusesMoreElementsThanStatesHaveAndParametersOfAnswers) {
  const auto engine = model_file().engine({});
  const auto refused = [&](const GenerationRequest& request) {
    const auto handle = engine->submit({request, {}}, {});
    const auto replay = engine->replay(request, {}, FinishReason::length);
    return !handle && handle.error().kind == ErrorKind::invalid_input && !replay &&
           replay.error().kind == ErrorKind::invalid_input;
  };
  EXPECT_TRUE(refused(embedding_request(prompt_of(5, 1), kDim + 1)));
  EXPECT_TRUE(refused(embedding_request({}, kDim)));
  GenerationRequest request = embedding_request(prompt_of(5, 1), kDim);
  request.max_tokens = 2;
  EXPECT_TRUE(refused(request));
  request = embedding_request(prompt_of(5, 1), kDim);
  request.stop_tokens = {kEmbeddingToken};
  EXPECT_TRUE(refused(request));
  request = embedding_request(prompt_of(5, 1), kDim);
  request.sampling.seed = 1;
  EXPECT_TRUE(refused(request));
  EXPECT_FALSE(check_request(embedding_request(prompt_of(5, 1), kMaxEmbedding + 1), 320, 256));
}

// The engine thread is held inside another sequence's callback while the embedding is submitted and
// cancelled.
TEST(Embedding, CanBeCancelled) {
  const auto engine = model_file().engine({"", 1, 2, 0, 8});
  std::promise<void> gate;
  Pending other(*engine, {request_of(prompt_of(4, 1), 20), {}}, gate.get_future());
  other.wait_for_first_step();
  Pending cancelled(*engine, {embedding_request(prompt_of(200, 1), kDim), {}});
  engine->cancel(cancelled.handle());
  gate.set_value();
  const Answer answer = cancelled.wait();
  ASSERT_TRUE(answer.error);
  EXPECT_EQ(answer.error->kind, ErrorKind::cancelled);
  EXPECT_EQ(other.wait().steps.size(), 20u);
}

}  // namespace
}  // namespace cortensor::engine
