// Claims: the engine's answers are those of the reference pass and the sampler, step by step, whatever the
// batch, the chunks, the threads and the instruction set; an answer continued elsewhere is the undisturbed
// one; an answer ends where and why it should; refusals and cancellation disturb nobody else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "arith/llama_reference.h"
#include "engine/gguf_file.h"
#include "engine/model.h"
#include "engine/sampler.h"
#include "engine/text_stream.h"
#include "engine/tokenizer.h"
#include "engine/transcript.h"
#include "engine_fixture.h"
#include "temporary_folder.h"

namespace cortensor::engine {
namespace {

using testing::HasSubstr;

const ModelFile& model_file() {
  static const ModelFile file({.type = TensorType::q8_0});
  return file;
}

EngineOptions options(std::size_t threads = 2, std::size_t chunk = 64, std::size_t sequences = 8) {
  return {"", threads, sequences, 0, chunk};
}

const Sampling kSeeded{.temperature = 1.0f, .top_p = 0.95f, .min_p = 0.01f, .top_k = 100, .seed = 42};

// The answer from nothing but the reference pass, the sampler, the stop rule and the digests.
Answer reference_answer(const GenerationRequest& request) {
  auto file = GgufFile::open(model_file().path());
  auto model = bind_model(*file);
  auto tokenizer = Tokenizer::from_gguf(*file);
  arith::LlamaReference reference(model->weights);
  for (const TokenId token : request.prompt) reference.step(token);
  StopMatcher stops(request, *tokenizer, static_cast<std::uint32_t>(model->config.context_length));
  Sampler sampler;
  std::vector<float> logits(model->config.vocab_size);
  Answer answer;
  for (;;) {
    reference.logits(logits);
    const auto position = static_cast<std::uint32_t>(reference.positions());
    const TokenId token = *sampler.sample(logits, request.sampling, position);
    answer.steps.push_back({token, position_digest(reference.hidden(), token)});
    answer.finish = stops.feed(token);
    if (answer.finish) break;
    reference.step(token);
  }
  answer.root = transcript_root(answer.steps);
  return answer;
}

void expect_same(const Answer& expected, const Answer& found) {
  EXPECT_FALSE(found.error) << found.error->message;
  EXPECT_EQ(expected.steps, found.steps);
  EXPECT_EQ(expected.finish, found.finish);
  EXPECT_EQ(expected.root, found.root);
}

TEST(Generation, EqualsTheReferenceGreedyAndSeeded) {
  const auto engine = model_file().engine(options());
  for (const Sampling& sampling : {Sampling{}, kSeeded}) {
    const GenerationRequest request = request_of(prompt_of(37, 1), 50, sampling);
    expect_same(reference_answer(request), generate(*engine, request));
  }
}

TEST(Generation, DoesNotDependOnChunksThreadsOrInstructionSet) {
  const GenerationRequest request = request_of(prompt_of(101, 2), 20, kSeeded);
  const Answer expected = reference_answer(request);
  for (const char* isa : {"scalar", "avx2", "avx512", "amx"}) {
    for (const std::size_t threads : {1u, 2u}) {
      for (const std::size_t chunk : {1u, 7u, 64u, 100u, 256u}) {
        EngineOptions wanted = options(threads, chunk);
        wanted.isa = isa;
        auto engine = Engine::load(model_file().path(), wanted);
        if (!engine && engine.error().kind == ErrorKind::unsupported) continue;  // not on this processor
        ASSERT_TRUE(engine) << engine.error().message;
        expect_same(expected, generate(**engine, request));
      }
    }
  }
}

TEST(Generation, DoesNotDependOnCompany) {
  const auto engine = model_file().engine(options());
  std::vector<GenerationRequest> requests;
  for (std::uint32_t i = 0; i < 8; ++i) {
    Sampling sampling = i % 2 == 0 ? Sampling{} : kSeeded;
    sampling.seed = i;
    requests.push_back(request_of(prompt_of(3 + 20 * i, i), 40, sampling));
  }
  std::vector<Pending> together;
  for (const GenerationRequest& request : requests) together.emplace_back(*engine, Submission{request, {}});
  for (std::size_t i = 0; i < requests.size(); ++i)
    expect_same(reference_answer(requests[i]), together[i].wait());
  EXPECT_EQ(engine->load_now().sequences, 0u);
}

TEST(Generation, ContinuesAnotherNodesAnswer) {
  const auto engine = model_file().engine(options());
  for (const Sampling& sampling : {Sampling{}, kSeeded}) {
    GenerationRequest request = request_of(prompt_of(30, 5), 60, sampling);
    const Answer whole = generate(*engine, request);
    for (const std::size_t count : {1u, 2u, 31u, 59u, 60u})
      expect_same(whole, generate(*engine, request, tokens_of(whole.steps, count)));
  }
}

TEST(Generation, RefusesToContinueWhatIsNotThisRequestsAnswer) {
  const auto engine = model_file().engine(options());
  const GenerationRequest request = request_of(prompt_of(30, 5), 20);
  const Answer whole = generate(*engine, request);
  auto given = tokens_of(whole.steps, 10);
  for (const TokenId wrong : {given[6] ^ 1u, 1000000u}) {
    given[6] = wrong;
    const Answer answer = generate(*engine, request, given);
    ASSERT_TRUE(answer.error);
    EXPECT_EQ(answer.error->kind, ErrorKind::conflict);
    EXPECT_THAT(answer.error->message, testing::HasSubstr("position 6"));
    EXPECT_EQ(answer.steps.size(), 6u);
  }
  auto too_long = tokens_of(whole.steps, 20);
  too_long.insert(too_long.end(), 300, 1u);  // past max_tokens and past the context
  const Answer answer = generate(*engine, request, too_long);
  ASSERT_TRUE(answer.error);
  EXPECT_EQ(answer.error->kind, ErrorKind::conflict);
  EXPECT_THAT(answer.error->message, testing::HasSubstr("position 20"));
}

TEST(Generation, EndsAtAStopTokenAStopStringMaxTokensOrAFullContext) {
  const auto engine = model_file().engine(options());
  GenerationRequest request = request_of(prompt_of(30, 9), 40, kSeeded);
  const Answer whole = generate(*engine, request);
  EXPECT_EQ(whole.finish, FinishReason::length);
  EXPECT_EQ(whole.steps.size(), 40u);

  request.stop_tokens = {whole.steps[17].token};
  const auto first = std::find_if(whole.steps.begin(), whole.steps.end(),
                                  [&](const Step& step) { return step.token == request.stop_tokens[0]; });
  const Answer stopped = generate(*engine, request);
  EXPECT_EQ(stopped.finish, FinishReason::stop);
  EXPECT_EQ(stopped.steps, std::vector<Step>(whole.steps.begin(), first + 1));

  request.stop_tokens.clear();
  std::string text;
  for (std::size_t i = 10; i < 13; ++i) text += engine->tokenizer().token_bytes(whole.steps[i].token);
  if (text.empty()) text = "never";
  request.stop_strings = {text};
  expect_same(reference_answer(request), generate(*engine, request));
  EXPECT_LE(generate(*engine, request).steps.size(), 13u);

  GenerationRequest full = request_of(prompt_of(250, 9), 1000, kSeeded);
  const Answer filled = generate(*engine, full);
  EXPECT_EQ(filled.finish, FinishReason::length);
  EXPECT_EQ(filled.steps.size(), engine->info().context_length - 250);
  expect_same(reference_answer(full), filled);
}

TEST(Generation, HandsOutLogProbabilitiesOnRequest) {
  const auto engine = model_file().engine(options());
  const GenerationRequest request = request_of(prompt_of(10, 1), 5, kSeeded);
  Pending pending(*engine, Submission{request, {}, true});
  const Answer answer = pending.wait();
  for (const auto& logprob : answer.logprobs) {
    ASSERT_TRUE(logprob);
    EXPECT_LT(*logprob, 0.0);
    EXPECT_GT(*logprob, -30.0);
  }
  EXPECT_FALSE(generate(*engine, request).logprobs[0]);
}

TEST(Generation, RefusesWhatDoesNotFit) {
  const auto engine = model_file().engine(options(2, 64, 2));
  const std::size_t context = engine->info().context_length;
  const auto kind = [&](GenerationRequest request) {
    const auto result = engine->submit({std::move(request), {}}, {});
    return result ? std::nullopt : std::optional(result.error().kind);
  };
  EXPECT_EQ(kind(request_of({}, 5)), ErrorKind::invalid_input);
  EXPECT_EQ(kind(request_of({500}, 5)), ErrorKind::invalid_input);
  EXPECT_EQ(kind(request_of({1}, 0)), ErrorKind::invalid_input);
  EXPECT_EQ(kind(request_of(std::vector<TokenId>(context, 1), 5)), ErrorKind::invalid_input);
  EXPECT_EQ(kind(request_of({1}, 5, {.temperature = -1.0f})), ErrorKind::invalid_input);

  const GenerationRequest request = request_of(prompt_of(4, 1), 20);
  std::promise<void> gate;
  Pending first(*engine, {request, {}}, gate.get_future()), second(*engine, {request, {}});
  const Answer refused = generate(*engine, request);
  gate.set_value();
  ASSERT_TRUE(refused.error);
  EXPECT_EQ(refused.error->kind, ErrorKind::overloaded);
  EXPECT_EQ(first.wait().steps, second.wait().steps);
}

TEST(Generation, RefusesWhenTheCacheIsTooSmall) {
  EngineOptions small = options();
  small.kv_tokens = 128;
  const auto engine = model_file().engine(small);
  const auto never = engine->submit({request_of(prompt_of(10, 1), 200), {}}, {});
  ASSERT_FALSE(never);
  EXPECT_EQ(never.error().kind, ErrorKind::invalid_input);
  std::promise<void> gate;
  Pending first(*engine, {request_of(prompt_of(10, 1), 100), {}}, gate.get_future());
  const Answer later = generate(*engine, request_of(prompt_of(10, 1), 20));
  gate.set_value();
  ASSERT_TRUE(later.error);
  EXPECT_EQ(later.error->kind, ErrorKind::overloaded);
  EXPECT_EQ(first.wait().steps.size(), 100u);
  EXPECT_EQ(engine->load_now().free_kv_tokens, 128u);
  EXPECT_FALSE(generate(*engine, request_of(prompt_of(10, 1), 20)).error);
}

TEST(Generation, CancelsOneSequenceAndLeavesTheOther) {
  const auto engine = model_file().engine(options());
  const GenerationRequest request = request_of(prompt_of(4, 1), 240);
  std::promise<void> gate;
  Pending other(*engine, {request, {}}), cancelled(*engine, {request, {}}, gate.get_future());
  cancelled.wait_for_first_step();
  engine->cancel(cancelled.handle());
  engine->cancel({999});
  gate.set_value();
  const Answer answer = cancelled.wait();
  ASSERT_TRUE(answer.error);
  EXPECT_EQ(answer.error->kind, ErrorKind::cancelled);
  EXPECT_EQ(answer.steps.size(), 1u);  // within one pass
  expect_same(reference_answer(request), other.wait());
}

TEST(Generation, EndsEverySequenceAtShutdown) {
  const ModelFile long_file({.context_length = 32768});
  auto engine = long_file.engine({"", 1, 1, 0, 64});
  Pending pending(*engine, {request_of(prompt_of(4, 1), 32000), {}});  // seconds of work
  pending.wait_for_first_step();
  engine.reset();
  const Answer answer = pending.wait();
  ASSERT_TRUE(answer.error);
  EXPECT_EQ(answer.error->kind, ErrorKind::cancelled);
}

TEST(Engine, NamesTheWeightThatIsNoNumber) {
  const TemporaryFolder folder;
  const std::string path = folder.path("broken.gguf");
  std::filesystem::copy_file(model_file().path(), path);
  {
    const auto file = GgufFile::open(path);
    const TensorInfo* tensor = file->find_tensor("blk.1.ffn_down.weight");
    const auto row_bytes = tensor->cols() / 32 * 34;
    const auto at = tensor->data.data() - file->bytes().data() + 5 * row_bytes + 34;
    std::fstream patch(path, std::ios::in | std::ios::out | std::ios::binary);
    patch.seekp(static_cast<std::streamoff>(at));
    patch.write("\xff\x7f", 2);
  }
  const auto engine = Engine::load(path, options());
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().kind, ErrorKind::corrupt);
  EXPECT_THAT(engine.error().message,
              HasSubstr("tensor blk.1.ffn_down.weight: expected finite weights, row 5 block 1"));
}

TEST(Engine, KnowsItsModel) {
  const auto engine = model_file().engine(options());
  const ModelInfo& info = engine->info();
  EXPECT_EQ(info.name, "random");
  EXPECT_EQ(info.architecture, "llama");
  EXPECT_EQ(info.quantisation, "q8_0");
  EXPECT_EQ(info.context_length, 256u);
  EXPECT_EQ(info.vocab_size, 320u);
  EXPECT_EQ(info.dim, 64u);
  EXPECT_EQ(info.parameters, 320u * 64 + 2 * (2 * 64 + 2 * 64 * 64 + 2 * 32 * 64 + 3 * 96 * 64) + 64);
  EXPECT_EQ(info.tokenizer_digest, engine->tokenizer().digest());
}

}  // namespace
}  // namespace cortensor::engine
