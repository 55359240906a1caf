#include "convert/hf_config.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "arith/rope.h"
#include "convert/json_file.h"
#include "engine/config.h"

namespace cortensor::convert {
namespace {

using nlohmann::json;

// Reads values one after another; after the first failure the rest are not looked at.
class Reader {
 public:
  Reader(const json& object, std::string where) : object_(object), where_(std::move(where)) {}

  std::uint32_t size(std::string_view key, std::size_t largest, std::optional<std::uint32_t> otherwise = {}) {
    const auto found = take(find_number(object_, key, where_));
    if (!found && otherwise) return *otherwise;
    require(found && *found >= 1 && *found <= largest,
            std::string(key) + ": expected 1 to " + std::to_string(largest) +
                (found ? ", found " + std::to_string(*found) : ", found nothing"));
    return static_cast<std::uint32_t>(found.value_or(0));
  }
  double real(std::string_view key, double smallest, double largest, std::optional<double> otherwise = {}) {
    const auto found = take(find_real(object_, key, where_));
    if (!found && otherwise) return *otherwise;
    require(found && *found >= smallest && *found <= largest, std::string(key) + ": missing or out of range");
    return found.value_or(0);
  }
  bool flag(std::string_view key) { return take(find_flag(object_, key, where_)).value_or(false); }
  std::string text(std::string_view key, std::string otherwise) {
    return take(find_text(object_, key, where_)).value_or(std::move(otherwise));
  }
  // A token id, or the first of a list of them.
  std::optional<std::uint32_t> token(std::string_view key) {
    auto found = object_.find(key);
    const json* id = found == object_.end() ? nullptr : &*found;
    if (id != nullptr && id->is_array() && !id->empty()) id = &id->front();
    if (id == nullptr || !id->is_number_unsigned() || *id >= engine::kMaxVocab) return std::nullopt;
    return id->get<std::uint32_t>();
  }
  const json* object(std::string_view key) {
    const auto found = object_.find(key);
    if (found == object_.end() || found->is_null()) return nullptr;
    require(found->is_object(), std::string(key) + ": expected an object");
    return found->is_object() ? &*found : nullptr;
  }
  // Rotated; the factor stands at the top or, in newer files, among the rotation's parameters.
  void whole_heads() {
    require(real("partial_rotary_factor", 0, 1, 1.0) == 1,
            "partial_rotary_factor: expected 1, heads rotated whole");
  }
  void require(bool condition, const std::string& message) {
    if (!condition && !error) error = fail(ErrorKind::unsupported, where_ + ": " + message);
  }

  std::optional<Error> error;

 private:
  template <class T>
  std::optional<T> take(Result<std::optional<T>> value) {
    if (value) return *value;
    if (!error) error = value.error();
    return std::nullopt;
  }
  const json& object_;
  std::string where_;
};

void read_rope(Reader& config, const json& object, const std::string& where, HfConfig& out) {
  Reader rope(object, where);
  if (object.contains("rope_theta")) out.rope_base = rope.real("rope_theta", 1, 1e9);
  rope.whole_heads();
  const std::string kind = rope.text("rope_type", rope.text("type", "default"));
  if (kind == "llama3") {
    RopeScaling scaling;
    scaling.factor = rope.real("factor", 1, 1e6);
    scaling.low_frequency_factor = rope.real("low_freq_factor", 1e-3, 1e3);
    scaling.high_frequency_factor = rope.real("high_freq_factor", 1e-3, 1e3);
    scaling.original_context = rope.real("original_max_position_embeddings", 1, engine::kMaxContext);
    rope.require(scaling.high_frequency_factor > scaling.low_frequency_factor,
                 "high_freq_factor: expected more than low_freq_factor");
    out.rope_scaling = scaling;
  } else {
    rope.require(kind == "default", "rope_type: expected \"llama3\" or \"default\", found another one");
  }
  if (rope.error && !config.error) config.error = rope.error;
}

}  // namespace

Result<HfConfig> read_hf_config(const std::string& folder) {
  const std::string path = (std::filesystem::path(folder) / "config.json").string();
  const auto object = read_json_object(path);
  if (!object) return object.error();
  Reader reader(*object, path);
  reader.require(reader.text("model_type", "llama") == "llama", "model_type: expected \"llama\"");
  if (const auto names = object->find("architectures"); names != object->end() && names->is_array())
    reader.require(names->size() == 1 && names->front() == "LlamaForCausalLM",
                   "architectures: expected [\"LlamaForCausalLM\"]");
  reader.require(reader.text("hidden_act", "silu") == "silu", "hidden_act: expected \"silu\"");
  reader.require(!reader.flag("attention_bias") && !reader.flag("mlp_bias"), "biases are not supported");
  reader.require(reader.object("quantization_config") == nullptr, "the weights are quantised already");
  reader.whole_heads();

  HfConfig config;
  config.vocab_size = reader.size("vocab_size", engine::kMaxVocab);
  config.context_length = reader.size("max_position_embeddings", engine::kMaxContext);
  config.dim = reader.size("hidden_size", engine::kMaxDim);
  config.layers = reader.size("num_hidden_layers", engine::kMaxLayers);
  config.ffn_dim = reader.size("intermediate_size", engine::kMaxFfnDim);
  config.heads = reader.size("num_attention_heads", engine::kMaxHeads);
  config.kv_heads = reader.size("num_key_value_heads", engine::kMaxHeads, config.heads);
  if (!reader.error)
    config.head_dim = reader.size("head_dim", engine::kMaxHeadDim, config.dim / config.heads);
  reader.require(reader.error ||
                     (config.head_dim > 0 && config.head_dim % 8 == 0 && config.heads % config.kv_heads == 0),
                 "heads: expected whole groups of heads, and head_dim to be a multiple of 8");
  config.rms_epsilon = reader.real("rms_norm_eps", 1e-12, 1);
  config.rope_base = reader.real("rope_theta", 1, 1e9, 10000.0);
  config.tied = reader.flag("tie_word_embeddings");
  config.bos = reader.token("bos_token_id");
  config.eos = reader.token("eos_token_id");
  for (const char* key : {"rope_scaling", "rope_parameters"})  // the old name and the new one
    if (const json* rope = reader.object(key)) read_rope(reader, *rope, path + ": " + key, config);
  if (reader.error) return *reader.error;
  return config;
}

std::vector<float> HfConfig::rope_factors() const {
  std::vector<float> factors;
  if (!rope_scaling) return factors;
  constexpr double kTwoPi = 6.283185307179586;
  const RopeScaling& s = *rope_scaling;
  for (std::size_t i = 0; i < head_dim / 2; ++i) {
    const double turns = s.original_context * arith::rope_frequency(rope_base, head_dim, i, 1.0f) / kTwoPi;
    // Pairs that turn often enough stay; those that hardly turn are slowed by the factor; between them the
    // frequency is a mixture.
    double divisor = 1;
    if (turns < s.low_frequency_factor) {
      divisor = s.factor;
    } else if (turns <= s.high_frequency_factor) {
      const double fresh =
          (turns - s.low_frequency_factor) / (s.high_frequency_factor - s.low_frequency_factor);
      divisor = 1 / ((1 - fresh) / s.factor + fresh);
    }
    factors.push_back(static_cast<float>(divisor));
  }
  return factors;
}

void HfConfig::add_to(engine::GgufWriter& writer) const {
  writer.add_u32("llama.vocab_size", vocab_size);
  writer.add_u32("llama.context_length", context_length);
  writer.add_u32("llama.embedding_length", dim);
  writer.add_u32("llama.block_count", layers);
  writer.add_u32("llama.feed_forward_length", ffn_dim);
  writer.add_u32("llama.attention.head_count", heads);
  writer.add_u32("llama.attention.head_count_kv", kv_heads);
  writer.add_u32("llama.attention.key_length", head_dim);
  writer.add_u32("llama.attention.value_length", head_dim);
  writer.add_u32("llama.rope.dimension_count", head_dim);
  writer.add_f32("llama.rope.freq_base", static_cast<float>(rope_base));
  writer.add_f32("llama.attention.layer_norm_rms_epsilon", static_cast<float>(rms_epsilon));
}

}  // namespace cortensor::convert
