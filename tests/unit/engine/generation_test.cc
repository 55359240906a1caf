// Claims: the engine's answers are those of the reference pass and the sampler, step by step, whatever the
// batch, the chunks, the threads and the instruction set; an answer continued elsewhere is the undisturbed
// one; an answer ends where and why it should; refusals and cancellation disturb nobody else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "arith/llama_reference.h"
#include "arith/sampling.h"
#include "engine/gguf_file.h"
#include "engine/grammar_matcher.h"
#include "engine/model.h"
#include "engine/text_stream.h"
#include "engine/tokenizer.h"
#include "engine/transcript.h"
#include "engine_fixture.h"
#include "isas.h"
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

// Penalties make every choice depend on all tokens before it.
const Sampling kPenalised{.temperature = 0.9f,
                          .top_p = 0.95f,
                          .seed = 43,
                          .repetition_penalty = 1.3f,
                          .presence_penalty = 0.4f,
                          .frequency_penalty = -0.3f,
                          .logit_bias = {{3, 2.5f}, {70, -100.0f}, {200, 0.75f}}};
const Sampling kPenalisedGreedy{.repetition_penalty = 1.1f, .frequency_penalty = 0.2f};

// A list of words and numbers in brackets, within one another; tokens of two letters are words of it too.
const std::string kGrammar =
    "root ::= \"[\" (item (\",\" item)*)? \"]\"\nitem ::= root | [a-z]{1,3} | \"-\"? [0-9]+ | \"é\"";

// Each token on its own, from the beginning of the answer.
std::vector<bool> allowed_by_definition(const GenerationRequest& request, const Tokenizer& tokenizer,
                                        const std::vector<TokenId>& answer) {
  if (request.grammar.empty()) return {};
  GrammarMatcher matcher(std::make_shared<const Grammar>(*compile_grammar(request.grammar)));
  const auto follow = [&](GrammarMatcher::State state, TokenId token) {
    for (const char byte : tokenizer.token_bytes(token))
      state = matcher.next(state, static_cast<std::uint8_t>(byte));
    return state;
  };
  auto state = matcher.start();
  for (const TokenId token : answer) state = follow(state, token);
  std::vector<bool> allowed;
  for (TokenId token = 0; token < tokenizer.vocab_size(); ++token) {
    const bool stops = std::count(request.stop_tokens.begin(), request.stop_tokens.end(), token) > 0;
    allowed.push_back(stops ? matcher.complete(state)
                            : !tokenizer.token_bytes(token).empty() &&
                                  follow(state, token) != GrammarMatcher::kDead);
  }
  return allowed;
}

TokenId by_definition(std::span<const float> logits, const GenerationRequest& request,
                      const Tokenizer& tokenizer, const std::vector<TokenId>& answer) {
  const Sampling& sampling = request.sampling;
  const std::vector<TokenId>& prompt = request.prompt;
  std::vector<arith::Bias> biases;
  for (const LogitBias& one : sampling.logit_bias) biases.push_back({one.token, one.bias});
  const auto adjusted = arith::adjusted(
      logits, {sampling.repetition_penalty, sampling.presence_penalty, sampling.frequency_penalty, biases},
      prompt, answer);
  const auto position = static_cast<std::uint32_t>(prompt.size() + answer.size());
  return arith::sample(adjusted, {sampling.temperature, sampling.top_p, sampling.min_p, sampling.top_k},
                       arith::uniform_at(sampling.seed, position),
                       allowed_by_definition(request, tokenizer, answer));
}

// The answer from nothing but the reference pass, the sampling rule, the stop rule and the digests.
Answer reference_answer(const GenerationRequest& request) {
  auto file = GgufFile::open(model_file().path());
  auto model = bind_model(*file);
  auto tokenizer = Tokenizer::from_gguf(*file);
  arith::LlamaReference reference(model->weights);
  for (const TokenId token : request.prompt) reference.step(token);
  StopMatcher stops(request, *tokenizer, static_cast<std::uint32_t>(model->config.context_length));
  std::vector<TokenId> so_far;
  std::vector<float> logits(model->config.vocab_size);
  Answer answer;
  for (;;) {
    reference.logits(logits);
    const TokenId token = by_definition(logits, request, *tokenizer, so_far);
    so_far.push_back(token);
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
  for (const Sampling& sampling : {Sampling{}, kSeeded, kPenalised, kPenalisedGreedy}) {
    const GenerationRequest request = request_of(prompt_of(37, 1), 50, sampling);
    expect_same(reference_answer(request), generate(*engine, request));
  }
}

TEST(Generation, DoesNotDependOnChunksThreadsOrInstructionSet) {
  const GenerationRequest request = request_of(prompt_of(101, 2), 20, kPenalised);
  const Answer expected = reference_answer(request);
  for (const char* isa : test::kIsas) {
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
    Sampling sampling = i % 2 == 0 ? Sampling{} : i % 4 == 1 ? kSeeded : kPenalised;
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
  for (const Sampling& sampling : {Sampling{}, kSeeded, kPenalised, kPenalisedGreedy}) {
    GenerationRequest request = request_of(prompt_of(30, 5), 60, sampling);
    const Answer whole = generate(*engine, request);
    for (std::size_t count = 1; count <= whole.steps.size(); ++count)
      expect_same(whole, generate(*engine, request, tokens_of(whole.steps, count)));
  }
}

// A grammar's answer: the reference's, on every instruction set, replayed, and continued at every position.
TEST(Generation, FollowsAGrammarAsTheReferenceDoes) {
  const auto engine = model_file().engine(options());
  std::size_t ended = 0;
  for (const Sampling& sampling :
       {Sampling{}, kSeeded, kPenalised, Sampling{.temperature = 3e38f, .seed = 5}}) {
    GenerationRequest request = request_of(prompt_of(30, 6), 40, sampling);
    request.grammar = kGrammar;
    request.stop_tokens = {test::kEndOfText, test::kEndOfTurn};
    const Answer expected = reference_answer(request);
    ended += expected.finish == FinishReason::stop ? 1 : 0;
    expect_same(expected, generate(*engine, request));
    for (std::size_t count = 1; count < expected.steps.size(); ++count)
      expect_same(expected, generate(*engine, request, tokens_of(expected.steps, count)));
    for (const char* isa : test::kIsas) {
      EngineOptions wanted = options(1, 7);
      wanted.isa = isa;
      auto other = Engine::load(model_file().path(), wanted);
      if (!other) continue;  // not on this processor
      expect_same(expected, generate(**other, request));
      EXPECT_TRUE((*other)->replay(request, expected.steps, *expected.finish)->valid());
      // A token that the grammar does not allow is found where it stands, also when nothing can follow it.
      std::vector<Step> altered = expected.steps;
      altered[3].token = 'Z';
      const auto result = (*other)->replay(request, altered, *expected.finish);
      ASSERT_TRUE(result) << result.error().message;
      EXPECT_EQ(result->finding, ReplayFinding::token_differs);
      EXPECT_EQ(result->position, 3u);
    }
    const Answer refused = generate(*engine, request, {expected.steps[0].token, 'Z', 'Z'});
    ASSERT_TRUE(refused.error);
    EXPECT_EQ(refused.error->kind, ErrorKind::conflict);
  }
  EXPECT_GT(ended, 0u);
}

TEST(Generation, AGrammarThatLeavesNoTokenIsAClearFailure) {
  const auto engine = model_file().engine(options());
  GenerationRequest request = request_of(prompt_of(30, 6), 40);
  request.stop_tokens = {test::kEndOfText};
  // Within the limits at first, beyond them after some bytes.
  request.grammar = "root ::= \"a\" root \"x\" | \"a\" root \"y\" | \"a\" root \"z\"| \"a\" \"b\"{200}";
  request.sampling.logit_bias = {{'b', -100.0f}};
  const Answer answer = generate(*engine, request);
  ASSERT_TRUE(answer.error || answer.finish == FinishReason::length);
  request.grammar = "root ::= root";
  EXPECT_THAT(generate(*engine, request).error->message, HasSubstr("can never end"));
  request.grammar = "root ::= \"a\"";
  request.stop_tokens.clear();
  EXPECT_THAT(generate(*engine, request).error->message, HasSubstr("expected a stop token"));
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
  const Answer answer = Pending(*engine, Submission{request, {}, 3}).wait();

  auto file = GgufFile::open(model_file().path());
  auto model = bind_model(*file);
  arith::LlamaReference reference(model->weights);
  for (const TokenId token : request.prompt) reference.step(token);
  std::vector<float> logits(model->config.vocab_size);
  for (std::size_t i = 0; i < answer.steps.size(); ++i) {
    reference.logits(logits);
    const std::vector<std::uint32_t> order = arith::ranked(logits);
    const double weights = arith::weight_of_all(logits, logits[order[0]]);
    const auto of = [&](TokenId token) {
      return arith::log_probability(logits[token], logits[order[0]], weights);
    };
    const Logprobs expected{of(answer.steps[i].token),
                            {{order[0], of(order[0])}, {order[1], of(order[1])}, {order[2], of(order[2])}}};
    ASSERT_TRUE(answer.logprobs[i]);
    EXPECT_EQ(*answer.logprobs[i], expected);
    EXPECT_NEAR(std::exp(expected.top[0].logprob),
                1 / std::accumulate(logits.begin(), logits.end(), 0.0,
                                    [&](double sum, float logit) {
                                      return sum + std::exp(double{logit} - logits[order[0]]);
                                    }),
                1e-6);
    reference.step(answer.steps[i].token);
  }
  EXPECT_TRUE(Pending(*engine, Submission{request, {}, 0}).wait().logprobs[0]->top.empty());
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

TEST(Engine, NeedsItsFileOnlyToLoad) {
  const ModelFile file({.type = TensorType::q8_0});
  const auto engine = file.engine(options());
  const GenerationRequest request = request_of(prompt_of(70, 1), 20);
  const Answer before = generate(*engine, request);
  std::filesystem::resize_file(file.path(), 0);  // whoever still reads its pages gets a SIGBUS
  EXPECT_EQ(generate(*engine, request).steps, before.steps);
  EXPECT_EQ(before.steps.size(), 20u);
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
