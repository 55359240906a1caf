// Claim: the fast forward pass gives the bits of the reference for every weight type, head shape, instruction
// set and thread count, whatever the chunks of the prompt and whoever shares the batch. Compared with memcmp.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>

#include "forward_fixture.h"
#include "isas.h"

namespace cortensor::arith {

void PrintTo(WeightType type, std::ostream* out) {
  *out << engine::to_string(type);
}

}  // namespace cortensor::arith

namespace cortensor::engine {
namespace {

using test::RandomModel;

constexpr TensorType kTypes[] = {TensorType::f32,  TensorType::f16,  TensorType::bf16, TensorType::q8_0,
                                 TensorType::q4_0, TensorType::q4_1, TensorType::q5_0, TensorType::q5_1,
                                 TensorType::q2_k, TensorType::q3_k, TensorType::q4_k, TensorType::q5_k,
                                 TensorType::q6_k, TensorType::s8,   TensorType::s4};

// Head dimensions below, at and above a block; inner dimensions above a segment; grouped and single heads.
std::vector<RandomModel> shapes(TensorType type) {
  if (arith::file_block(type).elements == arith::kSuperBlock)  // rows of whole blocks
    return {
        {.type = type, .dim = 256, .layers = 1, .heads = 8, .kv_heads = 4, .head_dim = 32, .ffn_dim = 256},
        {.type = type,
         .dim = 768,
         .layers = 1,
         .heads = 4,
         .kv_heads = 2,
         .head_dim = 64,
         .ffn_dim = 1280,
         .tied = false},
        {.type = type, .dim = 256, .layers = 1, .heads = 4, .kv_heads = 2, .head_dim = 64, .ffn_dim = 512}};
  return {
      {.type = type, .dim = 64, .heads = 8, .kv_heads = 4, .head_dim = 8, .ffn_dim = 96},
      {.type = type,
       .dim = 544,
       .layers = 1,
       .heads = 2,
       .kv_heads = 1,
       .head_dim = 32,
       .ffn_dim = 1056,
       .tied = false},
      {.type = type,
       .dim = 96,
       .heads = 6,
       .kv_heads = 2,
       .head_dim = 64,
       .ffn_dim = 160,
       .rope_factors = true},
      {.type = type, .dim = 64, .layers = 1, .heads = 4, .kv_heads = 4, .head_dim = 24, .ffn_dim = 64},
      {.type = type, .dim = 64, .layers = 1, .heads = 2, .kv_heads = 1, .head_dim = 128, .ffn_dim = 64},
  };
}

class ForwardOfType : public testing::TestWithParam<std::tuple<TensorType, const char*>> {};

TEST_P(ForwardOfType, EqualsTheReferenceForEveryShape) {
  const auto [type, isa] = GetParam();
  for (const RandomModel& spec : shapes(type)) {
    const OpenModel open = OpenModel::random(spec);
    const auto tokens = some_tokens(140, spec.vocab_size, 7);
    FastPass fast(*open.model, isa, 1);
    ASSERT_TRUE(fast.ok());
    fast.run({{0, tokens}});
    expect_same_bits(reference_states(*open.model, tokens), fast.states(),
                     "head dimension " + std::to_string(spec.head_dim));
  }
}

TEST_P(ForwardOfType, DoesNotDependOnChunksOrThreads) {
  const auto [type, isa] = GetParam();
  const RandomModel spec = shapes(type)[0];
  const OpenModel open = OpenModel::random(spec);
  const auto tokens = some_tokens(200, spec.vocab_size, 3);
  const States expected = reference_states(*open.model, tokens);
  for (const std::size_t threads : {1u, 2u, 3u}) {
    for (const std::size_t chunk : {1u, 7u, 64u, 100u}) {
      FastPass fast(*open.model, isa, threads);
      ASSERT_TRUE(fast.ok());
      for (std::size_t begin = 0; begin < tokens.size(); begin += chunk)
        fast.run({{0, std::span(tokens).subspan(begin, std::min(chunk, tokens.size() - begin))}});
      expect_same_bits(expected, fast.states(),
                       std::to_string(threads) + " threads, chunks of " + std::to_string(chunk));
    }
  }
}

TEST_P(ForwardOfType, DoesNotDependOnCompany) {
  const auto [type, isa] = GetParam();
  const RandomModel spec = shapes(type)[2];
  const OpenModel open = OpenModel::random(spec);
  constexpr std::size_t kSequences = 8;
  FastPass fast(*open.model, isa, 2, kSequences);
  ASSERT_TRUE(fast.ok());
  std::vector<std::vector<TokenId>> tokens;
  for (std::uint32_t s = 0; s < kSequences; ++s) tokens.push_back(some_tokens(90 + s, spec.vocab_size, s));
  // Each sequence takes steps of its own length, so that prompts and single tokens mix.
  std::vector<std::size_t> done(kSequences, 0);
  for (bool more = true; more;) {
    more = false;
    std::vector<FastPass::Part> parts;
    for (std::size_t s = 0; s < kSequences; ++s) {
      const std::size_t count = std::min(s % 2 == 0 ? std::size_t{1} : 3 * s, tokens[s].size() - done[s]);
      if (count == 0) continue;
      parts.push_back({s, std::span(tokens[s]).subspan(done[s], count)});
      done[s] += count;
      more = true;
    }
    if (more) fast.run(parts);
  }
  for (std::size_t s = 0; s < kSequences; ++s)
    expect_same_bits(reference_states(*open.model, tokens[s]), fast.states(s),
                     "sequence " + std::to_string(s));
}

INSTANTIATE_TEST_SUITE_P(Forward, ForwardOfType,
                         testing::Combine(testing::ValuesIn(kTypes), testing::ValuesIn(test::isas_here())),
                         [](const auto& test) {
                           std::string name(to_string(std::get<0>(test.param)));
                           name += std::string("_") + std::get<1>(test.param);
                           std::erase_if(name,
                                         [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); });
                           return name;
                         });

}  // namespace
}  // namespace cortensor::engine
