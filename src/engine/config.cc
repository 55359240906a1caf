#include "engine/config.h"

#include <cstdint>
#include <optional>
#include <utility>

#include "engine/gguf_file.h"

namespace cortensor::engine {

namespace {

// Reads values one after another; after the first failure the rest are not looked at.
class ConfigReader {
 public:
  explicit ConfigReader(const GgufFile& file) : file_(file) {}

  std::size_t size(std::string_view key, std::size_t largest) {
    if (error_) return 0;
    const Result<std::uint32_t> value = file_.get_u32(key);
    if (!value) return reject(Error(value.error())), 0;
    if (*value < 1 || *value > largest)
      reject(fail(ErrorKind::unsupported, std::string(key) + ": expected 1 to " + std::to_string(largest) +
                                              ", found " + std::to_string(*value)));
    return *value;
  }
  std::size_t size_or(std::string_view key, std::size_t largest, std::size_t otherwise) {
    return file_.has(key) ? size(key, largest) : otherwise;
  }
  float number(std::string_view key, float smallest, float largest) {
    if (error_) return 0;
    const Result<float> value = file_.get_f32(key);
    if (!value) return reject(Error(value.error())), 0.0f;
    if (!(*value >= smallest && *value <= largest))
      reject(
          fail(ErrorKind::unsupported, std::string(key) + ": out of range, found " + std::to_string(*value)));
    return *value;
  }
  void require(bool condition, ErrorKind kind, std::string_view message) {
    if (!condition) reject(fail(kind, std::string(message)));
  }
  std::optional<Error> error() const { return error_; }

 private:
  void reject(Error error) {
    if (!error_) error_ = std::move(error);
  }
  const GgufFile& file_;
  std::optional<Error> error_;
};

// Of the keys about rotary positions: those that are read here, and those that leave them as they are.
bool is_plain_rope(const GgufFile& file, std::string_view key) {
  if (key == "llama.rope.scaling.factor" || key == "llama.rope.scale_linear") {
    const float factor = file.get_f32(key).value_or(-1.0f);
    return factor == 0.0f || factor == 1.0f;
  }
  return key == "llama.rope.freq_base" || key == "llama.rope.dimension_count" ||
         key == "llama.rope.scaling.type" || key == "llama.rope.scaling.finetuned" ||
         key == "llama.rope.scaling.original_context_length";
}

}  // namespace

Result<LlamaConfig> read_config(const GgufFile& file) {
  const Result<std::string_view> architecture = file.get_string("general.architecture");
  if (!architecture) return Error(architecture.error());
  if (*architecture != "llama")
    return fail(ErrorKind::unsupported, "general.architecture: expected \"llama\", found \"" +
                                            std::string(architecture->substr(0, 64)) + "\"");

  LlamaConfig config;
  ConfigReader reader(file);
  if (const auto name = file.get_string("general.name")) config.name = *name;
  config.context_length = reader.size("llama.context_length", kMaxContext);
  config.dim = reader.size("llama.embedding_length", kMaxDim);
  config.layers = reader.size("llama.block_count", kMaxLayers);
  config.ffn_dim = reader.size("llama.feed_forward_length", kMaxFfnDim);
  config.heads = reader.size("llama.attention.head_count", kMaxHeads);
  config.kv_heads = reader.size_or("llama.attention.head_count_kv", kMaxHeads, config.heads);
  config.rms_epsilon = reader.number("llama.attention.layer_norm_rms_epsilon", 1e-12f, 1.0f);
  config.rope_base =
      file.has("llama.rope.freq_base") ? reader.number("llama.rope.freq_base", 1.0f, 1e9f) : 10000.0f;
  if (const auto error = reader.error()) return *error;

  reader.require(config.heads % config.kv_heads == 0, ErrorKind::corrupt,
                 "llama.attention.head_count: expected a multiple of head_count_kv");
  reader.require(config.dim % config.heads == 0 || file.has("llama.attention.key_length"), ErrorKind::corrupt,
                 "llama.embedding_length: expected a multiple of head_count");
  config.head_dim = reader.size_or("llama.attention.key_length", kMaxHeadDim, config.dim / config.heads);
  reader.require(config.head_dim >= 8 && config.head_dim % 8 == 0 && config.head_dim <= kMaxHeadDim,
                 ErrorKind::unsupported, "head dimension: expected a multiple of 8 up to 256");
  reader.require(
      reader.size_or("llama.attention.value_length", kMaxHeadDim, config.head_dim) == config.head_dim,
      ErrorKind::unsupported, "llama.attention.value_length: expected the same as key_length");
  reader.require(
      reader.size_or("llama.rope.dimension_count", kMaxHeadDim, config.head_dim) == config.head_dim,
      ErrorKind::unsupported, "llama.rope.dimension_count: expected the head dimension");
  reader.require(!file.has("llama.expert_count") || file.get_u32("llama.expert_count").value_or(1) == 0,
                 ErrorKind::unsupported, "llama.expert_count: mixtures of experts are not supported");
  if (const auto scaling = file.get_string("llama.rope.scaling.type"))
    reader.require(*scaling == "none", ErrorKind::unsupported, "llama.rope.scaling.type: expected \"none\"");
  for (const auto& [key, value] : file.metadata())
    reader.require(!key.starts_with("llama.rope.") || is_plain_rope(file, key), ErrorKind::unsupported,
                   std::string(key) + ": rotary positions of this kind are not supported");
  const TensorInfo* embedding = file.find_tensor("token_embd.weight");
  reader.require(embedding != nullptr, ErrorKind::corrupt, "token_embd.weight: missing");
  if (embedding != nullptr) {
    reader.require(embedding->rows() <= kMaxVocab, ErrorKind::unsupported,
                   "vocabulary: more than 1048576 tokens");
    config.vocab_size = embedding->rows();
    reader.require(reader.size_or("llama.vocab_size", kMaxVocab, config.vocab_size) == config.vocab_size,
                   ErrorKind::corrupt, "llama.vocab_size: expected the rows of token_embd.weight");
  }
  if (const auto error = reader.error()) return *error;
  return config;
}

}  // namespace cortensor::engine
