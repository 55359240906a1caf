// Every `example` line of docs/spec/arithmetic.md is what the code computes, and none is missing.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "arith/attention.h"
#include "arith/embedding.h"
#include "arith/llama_reference.h"
#include "arith/matmul.h"
#include "arith/rmsnorm.h"
#include "arith/rope.h"
#include "arith/sampling.h"
#include "arith/segment_quantiser.h"
#include "arith/silu.h"
#include "arith/weight_quantiser.h"
#include "base/bytes.h"
#include "base/hex.h"
#include "crypto/sha256.h"
#include "engine/transcript.h"

namespace cortensor {
namespace {

using arith::float_of;

__attribute__((format(printf, 1, 2))) std::string text(const char* format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  return line;
}

struct Example {
  const char* name;
  arith::WeightType type;
};
constexpr Example kExamples[] = {{"Q4_1", arith::WeightType::q4_1}, {"Q5_0", arith::WeightType::q5_0},
                                 {"Q5_1", arith::WeightType::q5_1}, {"Q2_K", arith::WeightType::q2_k},
                                 {"Q3_K", arith::WeightType::q3_k}, {"Q4_K", arith::WeightType::q4_k},
                                 {"Q5_K", arith::WeightType::q5_k}, {"Q6_K", arith::WeightType::q6_k}};

// Byte j is (37 j + 11) mod 256, but for the scales.
Bytes example_block(arith::WeightType type) {
  const arith::FileBlock shape = arith::file_block(type);
  Bytes block(shape.bytes);
  for (std::size_t j = 0; j < block.size(); ++j) block[j] = static_cast<std::uint8_t>(37 * j + 11);
  const std::uint16_t scales[] = {0x2e66, 0x2c00};
  std::memcpy(block.data() + shape.first_scale, scales, 2 * shape.scales);
  return block;
}

void weights_and_conversions(std::vector<std::string>& lines) {
  for (const float x : {2.5f, 3.5f})
    lines.push_back(text("A1: nearest(%a) = %d", static_cast<double>(x), arith::round_to_int(x)));

  arith::BlockQ8 q8{0x2e66, {-128}};
  arith::BlockQ4 q4{0x2e66, {3}};
  float value = 0.0f;
  arith::widen_row(arith::WeightType::q8_0, reinterpret_cast<const std::uint8_t*>(&q8), {&value, 1});
  lines.push_back(text("A2: Q8_0 d=0x2e66 w=-128 -> %a", static_cast<double>(value)));
  arith::widen_row(arith::WeightType::q4_0, reinterpret_cast<const std::uint8_t*>(&q4), {&value, 1});
  lines.push_back(text("A2: Q4_0 d=0x2e66 nibble=3 -> %a", static_cast<double>(value)));
  for (const Example& example : kExamples) {
    const Bytes block = example_block(example.type);
    std::vector<float> values(arith::file_block(example.type).elements);
    arith::widen_row(example.type, block.data(), values);
    lines.push_back(
        text("A2: %s of bytes (37 j + 11) mod 256, scales 0x2e66, 0x2c00: element 0 -> %a, %zu -> %a",
             example.name, static_cast<double>(values[0]), values.size() - 3,
             static_cast<double>(values[values.size() - 3])));
  }

  for (const std::uint16_t half : {std::uint16_t{0x0001}, std::uint16_t{0xc500}})
    lines.push_back(text("A3: f16 0x%04x -> %a", half, static_cast<double>(arith::f16_to_f32(half))));
  for (const float x : {0x1.002p+0f, 0x1.2p-24f})
    lines.push_back(text("A3: %a -> f16 0x%04x", static_cast<double>(x), arith::f32_to_f16(x)));
  lines.push_back(text("A3: bf16 0xbf80 -> %a", static_cast<double>(arith::bf16_to_f32(0xbf80))));
  for (const float x : {0x1.01p+0f, 0x1.03p+0f})
    lines.push_back(text("A3: %a -> bf16 0x%04x", static_cast<double>(x), arith::f32_to_bf16(x)));
}

void products(std::vector<std::string>& lines) {
  const float few[] = {1.0f, -0.5f, 0x1.8p-7f};
  std::int8_t q[3];
  float scale;
  arith::quantise_block(few, q, scale);
  lines.push_back(text("A4: (0x1p+0, -0x1p-1, 0x1.8p-7) -> d=%a q=(%d, %d, %d)", static_cast<double>(scale),
                       q[0], q[1], q[2]));

  std::vector<arith::BlockQ8> row(17);
  std::vector<float> x;
  for (std::size_t i = 0; i < row.size() * 32; ++i) {
    row[i / 32].scale = 0x2e66;
    row[i / 32].weights[i % 32] = static_cast<std::int8_t>(static_cast<int>(i % 7) - 3);
    x.push_back(1.0f / static_cast<float>(1 + i));
  }
  float y = 0.0f;
  arith::matvec(arith::WeightType::q8_0, reinterpret_cast<const std::uint8_t*>(row.data()), x, {&y, 1});
  lines.push_back(text("A5: 17 blocks of w = (i mod 7) - 3, d=0x2e66, x_i = RN(1 / (1 + i)) -> %a",
                       static_cast<double>(y)));

  for (const Example& example : kExamples) {
    const Bytes block = example_block(example.type);
    const std::span input(x.data(), arith::file_block(example.type).elements);
    arith::matvec(example.type, block.data(), input, {&y, 1});
    lines.push_back(
        text("A5: that block of %s, x_i = RN(1 / (1 + i)) -> %a", example.name, static_cast<double>(y)));
  }

  const float w[] = {1.0f, 0x1p-24f, -1.0f}, z[] = {0x1.000002p+0f, 1.0f, 1.0f};
  lines.push_back(text("A6: w=(0x1p+0, 0x1p-24, -0x1p+0), x=(0x1.000002p+0, 0x1p+0, 0x1p+0) -> %a",
                       static_cast<double>(arith::dot_regular(w, z))));
}

void functions(std::vector<std::string>& lines) {
  for (const float x : {1.0f, -std::numeric_limits<float>::infinity()})
    lines.push_back(text("A7: exp(%a) = %a", static_cast<double>(x), static_cast<double>(arith::exp(x))));
  for (const float x : {1.0f, -89.0f})
    lines.push_back(text("A8: silu(%a) = %a", static_cast<double>(x), static_cast<double>(arith::silu(x))));
  lines.push_back(text("A8: swiglu(0x1p+1, 0x1.8p+1) = %a", static_cast<double>(arith::swiglu(2.0f, 3.0f))));

  const float x[] = {1, 2, 3, 4}, g[] = {1, 1, 1, 0.5f};
  float y[4];
  arith::rmsnorm(x, g, 1e-5f, y);
  lines.push_back(text("A9: x=(1, 2, 3, 4), g=(1, 1, 1, 0x1p-1), epsilon=%a -> (%a, %a, %a, %a)",
                       static_cast<double>(1e-5f), static_cast<double>(y[0]), static_cast<double>(y[1]),
                       static_cast<double>(y[2]), static_cast<double>(y[3])));

  const double frequency = arith::rope_frequency(500000.0, 64, 9, 1.0f);
  const arith::SinCos entry = arith::rope_entry(777, frequency);
  float pair[] = {1.0f, 2.0f};
  arith::rotate(pair, {&entry, 1});
  lines.push_back(text("A10: B=500000, R=64, i=9 -> F=%a", frequency));
  lines.push_back(text("A10: position=777 -> sin=%a cos=%a", static_cast<double>(entry.sin),
                       static_cast<double>(entry.cos)));
  lines.push_back(text("A10: rotate(0x1p+0, 0x1p+1) = (%a, %a)", static_cast<double>(pair[0]),
                       static_cast<double>(pair[1])));
}

void attention(std::vector<std::string>& lines) {
  const float few[] = {1.0f, -2.0f, 0x1.8p-3f};
  std::int8_t q[3];
  std::uint16_t scale;
  arith::quantise_block_f16(few, q, scale);
  lines.push_back(
      text("A11: (0x1p+0, -0x1p+1, 0x1.8p-3) -> d=0x%04x q=(%d, %d, %d)", scale, q[0], q[1], q[2]));
  for (const std::size_t dim : {8u, 64u, 128u})
    lines.push_back(text("A12: D=%zu -> %a", dim, static_cast<double>(arith::attention_scale(dim))));

  for (const auto cache : {arith::CacheType::int8, arith::CacheType::f16}) {
    arith::CachedRows rows(8, cache);
    float row[8], out[8];
    for (int key = 0; key < 70; ++key) {
      for (int e = 0; e < 8; ++e) row[e] = static_cast<float>((key * 5 + e * 3) % 11 - 5) / 4.0f;
      rows.append(row);
    }
    arith::attend(row, rows, rows, 70, out);
    const char* form = cache == arith::CacheType::int8
                           ? "A12: D=8, keys = values = (((5 j + 3 e) mod 11) - 5) / 4 for j < 70, query = "
                             "key 69 -> y_0=%a y_7=%a"
                           : "A12: the same from a binary16 cache -> y_0=%a y_7=%a";
    lines.push_back(text(form, static_cast<double>(out[0]), static_cast<double>(out[7])));
  }
}

// One layer, every matrix [rows, cols] holding (((7 n + 3 k) mod 11) - 5) / 16 in F32.
void forward_pass(std::vector<std::string>& lines) {
  constexpr std::size_t kDim = 32;
  std::vector<float> numbers;
  for (std::size_t n = 0; n < kDim; ++n)
    for (std::size_t k = 0; k < kDim; ++k)
      numbers.push_back(static_cast<float>((7 * n + 3 * k) % 11) / 16.0f - 0.3125f);
  const std::vector<float> ones(kDim, 1.0f);
  const auto matrix = [&](std::size_t rows) {
    return arith::Matrix{arith::WeightType::f32, rows, kDim,
                         reinterpret_cast<const std::uint8_t*>(numbers.data())};
  };
  arith::LlamaWeights w;
  w.dim = w.ffn_dim = kDim;
  w.heads = 2;
  w.kv_heads = 1;
  w.head_dim = 16;
  w.vocab_size = 8;
  w.rms_epsilon = 1e-5f;
  w.rope_base = 10000.0f;
  w.embedding = w.output = matrix(8);
  w.output_norm = ones;
  w.layers.push_back(
      {ones, matrix(32), matrix(16), matrix(16), matrix(32), ones, matrix(32), matrix(32), matrix(32)});
  arith::LlamaReference reference(w);
  reference.step(1);
  reference.step(2);
  float logits[8];
  reference.logits(logits);
  lines.push_back(text("A13: the model above, tokens (1, 2) -> state_0=%a logit_0=%a",
                       static_cast<double>(reference.hidden()[0]), static_cast<double>(logits[0])));
}

void choices(std::vector<std::string>& lines) {
  lines.push_back(text("A14: seed=42 P=7 -> u=%a", static_cast<double>(arith::uniform_at(42, 7))));
  const float before[] = {2.0f, -1.0f, 0.5f};
  const std::uint32_t prompt[] = {1}, answer[] = {0, 0};
  const arith::Bias bias[] = {{2, -1.5f}};
  const auto after = arith::adjusted(before, {1.25f, 0.5f, 0.25f, bias}, prompt, answer);
  lines.push_back(
      text("A14: logits=(2, -1, 0x1p-1) prompt=(1) answer=(0, 0) r=0x1.4p+0 p=0x1p-1 f=0x1p-2 bias 2: "
           "-0x1.8p+0 -> (%a, %a, %a)",
           static_cast<double>(after[0]), static_cast<double>(after[1]), static_cast<double>(after[2])));
  const float logits[] = {1.0f, 2.0f, 2.0f, 0.5f};
  lines.push_back(text("A14: logits=(1, 2, 2, 0x1p-1) T=0x1p-1 top_p=0x1.cp-1 u=0x1.8p-1 -> token %u",
                       arith::sample(logits, {.temperature = 0.5f, .top_p = 0.875f}, 0.75f)));
  lines.push_back(
      text("A14: logits=(1, 2, 2, 0x1p-1) -> logprob_0=%a",
           static_cast<double>(arith::log_probability(logits[0], 2.0f, arith::weight_of_all(logits, 2.0f)))));

  const float state[] = {1.0f, -2.0f};
  const Digest digest = engine::position_digest(state, 7);
  const Step step{7, digest};
  const Step steps[] = {step, step, step};
  lines.push_back("A15: state=(0x1p+0, -0x1p+1) token=7 -> " + to_hex(digest));
  lines.push_back("A15: root of that digest three times -> " + to_hex(engine::transcript_root(steps)));

  std::vector<float> x(32);
  x[0] = 1.0f, x[1] = -2.0f, x[2] = 0.5f;
  arith::BlockQ4 block;
  arith::quantise_weights(std::span<const float, 32>(x), block);
  lines.push_back(text("A16: Q4_0 of (0x1p+0, -0x1p+1, 0x1p-1, 0, ...) -> d=0x%04x nibbles=(%d, %d, %d, %d)",
                       block.scale, arith::weight_of(block, 0) + 8, arith::weight_of(block, 1) + 8,
                       arith::weight_of(block, 2) + 8, arith::weight_of(block, 3) + 8));

  std::vector<float> wave;
  for (int i = 0; i < 256; ++i) wave.push_back(static_cast<float>((5 * i % 23 - 9) * (256 + i)) / 2048.0f);
  for (const Example& example : kExamples) {
    const std::span input(wave.data(), arith::file_block(example.type).elements);
    Bytes made(arith::row_bytes(example.type, input.size()));
    arith::quantise_weights(example.type, input, made.data());
    lines.push_back(text("A16: %s of x_i = ((5 i mod 23) - 9) (256 + i) / 2048 has the SHA-256 %s",
                         example.name, to_hex(crypto::sha256(made)).c_str()));
  }
}

void native_profile(std::vector<std::string>& lines) {
  const arith::S4Code code = arith::s4_code(0x1d);
  lines.push_back(text("A17: code 0x1d -> w(0) = %d, w(15) = %d", code.offset - 8 * code.factor,
                       code.offset + 7 * code.factor));

  constexpr std::size_t kCols = 544;
  std::vector<float> x;
  for (std::size_t i = 0; i < kCols; ++i) x.push_back(1.0f / static_cast<float>(1 + i));
  Bytes row;
  for (std::size_t at = 0; at < kCols; at += arith::segment_length(kCols - at)) {
    const float scale = 0x1p-7f;
    const auto* raw = reinterpret_cast<const std::uint8_t*>(&scale);
    row.insert(row.end(), raw, raw + sizeof scale);
    for (std::size_t i = at; i < at + arith::segment_length(kCols - at); ++i)
      row.push_back(static_cast<std::uint8_t>(static_cast<int>(i % 255) - 127));
  }
  float y = 0.0f;
  arith::matvec(arith::WeightType::s8, row.data(), x, {&y, 1});
  lines.push_back(text("A17: S8, K = 544, w_i = (i mod 255) - 127, dw=0x1p-7, x_i = RN(1 / (1 + i)) -> %a",
                       static_cast<double>(y)));
  std::vector<float> element(kCols);
  arith::embedding_row(arith::WeightType::s8, row.data(), element);
  lines.push_back(text("A17: element 3 of that S8 row -> %a", static_cast<double>(element[3])));

  Bytes made(arith::row_bytes(arith::WeightType::s4, 32));
  arith::encode_segments(arith::WeightType::s4, std::span(x).first(32), made.data());
  lines.push_back(
      text("A17: S4 of x_i = RN(1 / (1 + i)), K = 32 -> dw=%a code=0x%02x nibbles begin %d, %d, %d",
           static_cast<double>(arith::read_at<float>(made.data(), 0)), made[4], made[5] & 15, made[6] & 15,
           made[7] & 15));
}

void embeddings(std::vector<std::string>& lines) {
  std::vector<double> sums(3);
  for (const auto& state : {std::array{3.0f, 0.0f, 1.0f}, {1.0f, -3.0f, 2.0f}}) arith::add_state(sums, state);
  std::vector<float> two(2), three(3);
  ASSERT_TRUE(arith::direction_of(sums, two) && arith::direction_of(sums, three));
  lines.push_back(text("A18: states (3, 0, 1), (1, -3, 2), d=2 -> (%a, %a)", static_cast<double>(two[0]),
                       static_cast<double>(two[1])));
  lines.push_back(text("A18: the same, d=3 -> (%a, %a, %a)", static_cast<double>(three[0]),
                       static_cast<double>(three[1]), static_cast<double>(three[2])));
}

TEST(Specification, ItsExamplesAreWhatTheCodeComputes) {
  std::vector<std::string> computed;
  weights_and_conversions(computed);
  products(computed);
  functions(computed);
  attention(computed);
  forward_pass(computed);
  choices(computed);
  native_profile(computed);
  embeddings(computed);

  std::vector<std::string> written;
  std::ifstream document(CORTENSOR_SPEC);
  const std::string prefix = "    example ";
  for (std::string line; std::getline(document, line);)
    if (line.starts_with(prefix)) written.push_back(line.substr(prefix.size()));

  ASSERT_EQ(written.size(), computed.size());
  for (std::size_t i = 0; i < computed.size(); ++i) EXPECT_EQ(written[i], computed[i]);
}

}  // namespace
}  // namespace cortensor
