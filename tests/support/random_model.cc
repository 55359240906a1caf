#include "random_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "arith/convert.h"
#include "arith/segment_quantiser.h"
#include "arith/weight_quantiser.h"
#include "base/check.h"
#include "engine/gguf_writer.h"
#include "engine/native_tensor.h"

namespace cortensor::test {

namespace {

using engine::TensorType;

// SplitMix64 (Steele, Lea, Flood 2014), one stream per tensor.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    state_ += 0x9e3779b97f4a7c15u;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  // Uniform in [-1, 1), a multiple of 2^-23.
  float symmetric() {
    return static_cast<float>(static_cast<std::int32_t>(next() >> 40) - (1 << 23)) * 0x1p-23f;
  }

 private:
  std::uint64_t state_;
};

struct Tensor {
  std::string name;
  std::vector<std::uint64_t> dims;
  TensorType type;
  float centre;
  float spread;
};

std::vector<Tensor> tensors_of(const RandomModel& m) {
  std::vector<Tensor> out;
  const auto matrix = [&](const std::string& name, std::size_t cols, std::size_t rows) {
    const float spread = std::sqrt(3.0f / static_cast<float>(cols));  // outputs as large as inputs
    out.push_back({name, {cols, rows}, m.type, 0.0f, spread});
  };
  const auto vector = [&](const std::string& name, std::size_t size, float centre, float spread) {
    out.push_back({name, {size}, TensorType::f32, centre, spread});
  };
  const std::size_t q_dim = m.heads * m.head_dim, kv_dim = m.kv_heads * m.head_dim;
  matrix("token_embd.weight", m.dim, m.vocab_size);
  for (std::size_t l = 0; l < m.layers; ++l) {
    const std::string prefix = "blk." + std::to_string(l) + ".";
    vector(prefix + "attn_norm.weight", m.dim, 1.0f, 0.25f);
    matrix(prefix + "attn_q.weight", m.dim, q_dim);
    matrix(prefix + "attn_k.weight", m.dim, kv_dim);
    matrix(prefix + "attn_v.weight", m.dim, kv_dim);
    matrix(prefix + "attn_output.weight", q_dim, m.dim);
    vector(prefix + "ffn_norm.weight", m.dim, 1.0f, 0.25f);
    matrix(prefix + "ffn_gate.weight", m.dim, m.ffn_dim);
    matrix(prefix + "ffn_up.weight", m.dim, m.ffn_dim);
    matrix(prefix + "ffn_down.weight", m.ffn_dim, m.dim);
  }
  vector("output_norm.weight", m.dim, 1.5f, 0.25f);
  if (m.rope_factors) vector("rope_freqs.weight", m.head_dim / 2, 4.0f, 3.0f);
  if (!m.tied) matrix("output.weight", m.dim, m.vocab_size);
  return out;
}

template <class T>
void append_value(T value, Bytes& out) {
  const auto* raw = reinterpret_cast<const std::uint8_t*>(&value);
  out.insert(out.end(), raw, raw + sizeof value);
}

void append(TensorType type, std::span<const float> values, Bytes& out) {
  switch (type) {
    case TensorType::f32:
      for (const float value : values) append_value(value, out);
      break;
    case TensorType::f16:
      for (const float value : values) append_value(arith::f32_to_f16(value), out);
      break;
    case TensorType::bf16:
      for (const float value : values)
        append_value(static_cast<std::uint16_t>(arith::bits_of(value) >> 16), out);
      break;
    case TensorType::s8:
    case TensorType::s4: {
      Bytes row(arith::row_bytes(type, values.size()));
      CORTENSOR_CHECK(arith::encode_segments(type, values, row.data()));
      out.insert(out.end(), row.begin(), row.end());
      break;
    }
    default: {
      const std::size_t before = out.size();
      out.resize(before + arith::row_bytes(type, values.size()));
      arith::quantise_weights(type, values, out.data() + before);
    }
  }
}

// The character that stands for a byte in a byte-level vocabulary.
std::string byte_character(unsigned byte) {
  const auto printable = [](unsigned b) {
    return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
  };
  unsigned code = byte;
  if (!printable(byte)) {
    code = 256;
    for (unsigned other = 0; other < byte; ++other) code += !printable(other);
  }
  if (code < 128) return {static_cast<char>(code)};
  return {static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 63))};
}

// All bytes, five control tokens, then words of two letters with the merges that make them.
void add_tokenizer(std::size_t vocab_size, engine::GgufWriter& writer) {
  constexpr std::int32_t kNormal = 1, kControl = 3;
  std::vector<std::string> tokens, merges;
  for (unsigned byte = 0; byte < 256; ++byte) tokens.push_back(byte_character(byte));
  std::vector<std::int32_t> types(256, kNormal);
  for (const char* name :
       {"<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"}) {
    tokens.push_back(name);
    types.push_back(kControl);
  }
  for (std::size_t word = 0; tokens.size() < vocab_size; ++word) {
    std::string text;  // a word is a letter and an earlier word or letter: "aa", "ba", ..., "aaa", ...
    const std::string first(1, static_cast<char>('a' + word % 26));
    const std::string rest =
        word < 26 * 26 ? std::string(1, static_cast<char>('a' + word / 26)) : tokens[261 + (word / 26 - 26)];
    tokens.push_back(first + rest);
    merges.push_back(first + " " + rest);
    types.push_back(kNormal);
  }
  writer.add_string("tokenizer.ggml.model", "gpt2");
  writer.add_string("tokenizer.ggml.pre", "llama-bpe");
  writer.add_strings("tokenizer.ggml.tokens", tokens);
  writer.add_i32s("tokenizer.ggml.token_type", types);
  writer.add_strings("tokenizer.ggml.merges", merges);
  writer.add_u32("tokenizer.ggml.bos_token_id", kBeginOfText);
  writer.add_u32("tokenizer.ggml.eos_token_id", kEndOfText);
  writer.add_u32("tokenizer.ggml.eot_token_id", kEndOfTurn);
  writer.add_bool("tokenizer.ggml.add_bos_token", true);
}

void add_config(const RandomModel& m, engine::GgufWriter& writer) {
  const auto number = [&](std::string_view key, std::size_t value) {
    writer.add_u32(key, static_cast<std::uint32_t>(value));
  };
  writer.add_string("general.architecture", "llama");
  writer.add_string("general.name", "random");
  number("llama.context_length", m.context_length);
  number("llama.embedding_length", m.dim);
  number("llama.block_count", m.layers);
  number("llama.feed_forward_length", m.ffn_dim);
  number("llama.attention.head_count", m.heads);
  number("llama.attention.head_count_kv", m.kv_heads);
  number("llama.attention.key_length", m.head_dim);
  number("llama.attention.value_length", m.head_dim);
  number("llama.rope.dimension_count", m.head_dim);
  number("llama.vocab_size", m.vocab_size);
  writer.add_f32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  writer.add_f32("llama.rope.freq_base", 10000.0f);
}

}  // namespace

Status write_random_model(const RandomModel& spec, const std::string& path) {
  engine::GgufWriter writer;
  add_config(spec, writer);
  add_tokenizer(spec.vocab_size, writer);
  if (arith::is_segmented(spec.type)) writer.add_string(engine::kProfileKey, engine::kProfile);
  const std::vector<Tensor> tensors = tensors_of(spec);
  for (const Tensor& tensor : tensors) writer.add_tensor(tensor.name, tensor.dims, tensor.type);
  if (Status begun = writer.begin(path); !begun) return begun;

  for (std::size_t t = 0; t < tensors.size(); ++t) {
    const Tensor& tensor = tensors[t];
    Random random(spec.seed * 1000003 + t);
    std::vector<float> row(tensor.dims[0]);
    const std::uint64_t rows = tensor.dims.size() == 1 ? 1 : tensor.dims[1];
    for (std::uint64_t r = 0; r < rows; ++r) {
      for (float& value : row) value = tensor.centre + tensor.spread * random.symmetric();
      Bytes bytes;
      append(tensor.type, row, bytes);
      if (Status written = writer.write(bytes); !written) return written;
    }
  }
  return writer.finish();
}

}  // namespace cortensor::test
