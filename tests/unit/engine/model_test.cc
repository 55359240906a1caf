// Claims: a model file is bound only if its configuration is within the limits and every tensor has the shape
// that the configuration says; each refusal names the thing, what was expected and what was found.
#include "engine/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "engine/gguf_writer.h"

namespace cortensor::engine {
namespace {

using testing::HasSubstr;

// A small model that can be bent out of shape: numbers by key, tensors by name.
struct Draft {
  std::string architecture = "llama";
  std::map<std::string, std::uint32_t> numbers{
      {"llama.context_length", 128},      {"llama.embedding_length", 64},
      {"llama.block_count", 1},           {"llama.feed_forward_length", 96},
      {"llama.attention.head_count", 4},  {"llama.attention.head_count_kv", 2},
      {"llama.rope.dimension_count", 16}, {"llama.vocab_size", 40},
  };
  std::map<std::string, float> floats{{"llama.attention.layer_norm_rms_epsilon", 1e-5f},
                                      {"llama.rope.freq_base", 10000.0f}};
  std::map<std::string, std::vector<std::uint64_t>> tensors{
      {"token_embd.weight", {64, 40}},     {"output_norm.weight", {64}},
      {"blk.0.attn_norm.weight", {64}},    {"blk.0.ffn_norm.weight", {64}},
      {"blk.0.attn_q.weight", {64, 64}},   {"blk.0.attn_k.weight", {64, 32}},
      {"blk.0.attn_v.weight", {64, 32}},   {"blk.0.attn_output.weight", {64, 64}},
      {"blk.0.ffn_gate.weight", {64, 96}}, {"blk.0.ffn_up.weight", {64, 96}},
      {"blk.0.ffn_down.weight", {96, 64}},
  };
  TensorType norms = TensorType::f32;
  float fill = 1.0f;

  Bytes bytes() const {
    GgufWriter writer;
    writer.add_string("general.architecture", architecture);
    for (const auto& [key, value] : numbers) writer.add_u32(key, value);
    for (const auto& [key, value] : floats) writer.add_f32(key, value);
    std::vector<Bytes> data;
    for (const auto& [name, dims] : tensors) {
      const bool vector = dims.size() == 1;
      const TensorType type = vector ? norms : TensorType::f32;
      writer.add_tensor(name, dims, type);
      std::size_t count = 1;
      for (const std::uint64_t dim : dims) count *= dim;
      if (type == TensorType::f16) {
        data.emplace_back(count * 2);
        continue;
      }
      ByteWriter values;
      for (std::size_t i = 0; i < count; ++i) values.number(fill);
      data.push_back(values.take());
    }
    const std::vector<ByteView> views(data.begin(), data.end());
    return writer.to_bytes(views);
  }
};

// The error of binding a draft, or "bound".
std::string outcome(const std::function<void(Draft&)>& bend, ErrorKind* kind = nullptr) {
  Draft draft;
  bend(draft);
  const Bytes bytes = draft.bytes();
  const auto file = GgufFile::parse(bytes);
  EXPECT_TRUE(file) << file.error().message;
  if (!file) return file.error().message;
  const auto model = bind_model(*file);
  if (model) return "bound";
  if (kind != nullptr) *kind = model.error().kind;
  return model.error().message;
}

TEST(Model, BindsASoundFile) {
  EXPECT_EQ(outcome([](Draft&) {}), "bound");
  EXPECT_EQ(outcome([](Draft& d) { d.tensors["output.weight"] = {64, 40}; }), "bound");
  EXPECT_EQ(outcome([](Draft& d) { d.tensors["rope_freqs.weight"] = {8}; }), "bound");
}

TEST(Model, RefusesOtherArchitectures) {
  ErrorKind kind{};
  EXPECT_THAT(outcome([](Draft& d) { d.architecture = "gpt2"; }, &kind),
              HasSubstr("expected \"llama\", found \"gpt2\""));
  EXPECT_EQ(kind, ErrorKind::unsupported);
}

TEST(Model, RefusesNumbersOutsideTheirLimits) {
  for (const char* key :
       {"llama.context_length", "llama.embedding_length", "llama.block_count", "llama.feed_forward_length",
        "llama.attention.head_count", "llama.attention.head_count_kv"}) {
    for (const std::uint32_t value : {0u, 0x7fffffffu, 0xffffffffu})
      EXPECT_THAT(outcome([&](Draft& d) { d.numbers[key] = value; }), HasSubstr(key)) << value;
  }
  for (const char* key : {"llama.context_length", "llama.embedding_length", "llama.block_count",
                          "llama.feed_forward_length", "llama.attention.head_count"})
    EXPECT_THAT(outcome([&](Draft& d) { d.numbers.erase(key); }), HasSubstr(key));
  for (const float value : {0.0f, -1.0f, 2.0f})
    EXPECT_THAT(outcome([&](Draft& d) { d.floats["llama.attention.layer_norm_rms_epsilon"] = value; }),
                HasSubstr("layer_norm_rms_epsilon"));
  for (const float value : {0.5f, 1e30f})
    EXPECT_THAT(outcome([&](Draft& d) { d.floats["llama.rope.freq_base"] = value; }), HasSubstr("freq_base"));
}

TEST(Model, RefusesHeadsThatDoNotDivide) {
  EXPECT_THAT(outcome([](Draft& d) { d.numbers["llama.attention.head_count_kv"] = 3; }),
              HasSubstr("head_count"));
  EXPECT_THAT(outcome([](Draft& d) { d.numbers["llama.attention.head_count"] = 6; }),
              HasSubstr("embedding_length"));
  EXPECT_THAT(outcome([](Draft& d) { d.numbers["llama.attention.key_length"] = 12; }),
              HasSubstr("multiple of 8"));
  EXPECT_THAT(outcome([](Draft& d) { d.numbers["llama.attention.value_length"] = 8; }),
              HasSubstr("value_length"));
  EXPECT_THAT(outcome([](Draft& d) { d.numbers["llama.rope.dimension_count"] = 8; }),
              HasSubstr("dimension_count"));
  EXPECT_THAT(outcome([](Draft& d) { d.numbers["llama.vocab_size"] = 41; }), HasSubstr("vocab_size"));
  EXPECT_THAT(outcome([](Draft& d) { d.numbers["llama.expert_count"] = 8; }), HasSubstr("experts"));
}

TEST(Model, RefusesMissingAndMisshapenTensors) {
  const Draft sound;
  for (const auto& tensor : sound.tensors) {
    const std::string& name = tensor.first;
    EXPECT_THAT(outcome([&](Draft& d) { d.tensors.erase(name); }), HasSubstr(name));
    if (name == "token_embd.weight") continue;  // its rows are the vocabulary
    EXPECT_THAT(outcome([&](Draft& d) { d.tensors[name].back() += 32; }), HasSubstr(name));
  }
  EXPECT_EQ(outcome([](Draft& d) {
              d.tensors["blk.0.attn_k.weight"] = {64, 64};
            }),
            "tensor blk.0.attn_k.weight: expected [64, 32], found [64, 64]");
  EXPECT_THAT(outcome([](Draft& d) { d.norms = TensorType::f16; }), HasSubstr("expected F32, found F16"));
  EXPECT_THAT(outcome([](Draft& d) { d.tensors["rope_freqs.weight"] = {16}; }),
              HasSubstr("rope_freqs.weight"));
}

// Passed over they would leave another model than the file's.
TEST(Model, RefusesTensorsThatItWouldNotUse) {
  ErrorKind kind{};
  EXPECT_EQ(outcome([](Draft& d) { d.tensors["blk.0.attn_q.bias"] = {64}; }, &kind),
            "tensor blk.0.attn_q.bias: expected only tensors of a Llama model, and of its layers");
  EXPECT_EQ(kind, ErrorKind::unsupported);
  EXPECT_THAT(outcome([](Draft& d) { d.tensors["blk.1.attn_norm.weight"] = {64}; }),
              HasSubstr("blk.1.attn_norm.weight"));
  EXPECT_EQ(outcome([](Draft& d) { d.tensors["blk.0.attn_rot_embd.weight"] = {8}; }), "bound")
      << "these follow from the configuration";
}

TEST(Model, RefusesOtherRotaryPositions) {
  const auto with = [](std::string key, float value) {
    return outcome([&](Draft& d) { d.floats[key] = value; });
  };
  for (const char* key : {"llama.rope.scale_linear", "llama.rope.scaling.factor"}) {
    EXPECT_THAT(with(key, 4.0f), HasSubstr(key));
    EXPECT_EQ(with(key, 1.0f), "bound");
    EXPECT_EQ(with(key, 0.0f), "bound") << "not given";
  }
  EXPECT_THAT(with("llama.rope.scaling.attn_factor", 1.5f), HasSubstr("attn_factor"));
  EXPECT_THAT(with("llama.rope.scaling.yarn_log_multiplier", 0.1f), HasSubstr("yarn"));
  EXPECT_EQ(with("llama.rope.scaling.original_context_length", 8192), "bound");
}

TEST(Model, RefusesNormsAndRotaryFactorsThatAreNoNumbers) {
  EXPECT_THAT(outcome([](Draft& d) { d.fill = std::numeric_limits<float>::infinity(); }),
              HasSubstr("norm.weight"));
  EXPECT_THAT(outcome([](Draft& d) {
                d.fill = 0.5f;
                d.tensors["rope_freqs.weight"] = {8};
              }),
              HasSubstr("rope_freqs.weight"));
}

}  // namespace
}  // namespace cortensor::engine
