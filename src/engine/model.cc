#include "engine/model.h"

#include <optional>
#include <unordered_set>
#include <utility>

#include "engine/mixture.h"

namespace cortensor::engine {

namespace {

std::string shape(std::size_t cols, std::size_t rows) {
  return "[" + std::to_string(cols) + ", " + std::to_string(rows) + "]";
}

// Finds tensors one after another; after the first failure the rest are not looked at.
class Binder {
 public:
  explicit Binder(const GgufFile& file) : file_(file) {}

  arith::Matrix matrix(const std::string& name, std::size_t cols, std::size_t rows) {
    const TensorInfo* tensor = find(name, cols, rows);
    if (tensor == nullptr) return {};
    parameters += static_cast<std::uint64_t>(cols) * rows;
    return {static_cast<arith::WeightType>(tensor->type), rows, cols, tensor->data.data()};
  }

  std::span<const float> vector(const std::string& name, std::size_t size) {
    const TensorInfo* tensor = find(name, size, 1);
    if (tensor == nullptr) return {};
    if (tensor->type != TensorType::f32) {
      error = fail(ErrorKind::unsupported,
                   "tensor " + name + ": expected F32, found " + std::string(to_string(tensor->type)));
      return {};
    }
    if (Status finite = check_weights(*tensor); !finite) {
      error = std::move(finite).error();
      return {};
    }
    parameters += size;
    return {reinterpret_cast<const float*>(tensor->data.data()),
            size};  // the reader has checked the alignment
  }

  // A tensor that nobody asked for would have changed what the model computes.
  void end() {
    for (const TensorInfo& tensor : file_.tensors())
      if (!error && !bound_.contains(std::string(tensor.name)) && !is_derived(tensor.name))
        error =
            fail(ErrorKind::unsupported, "tensor " + std::string(tensor.name) +
                                             ": expected only tensors of a Llama model, and of its layers");
  }

  std::optional<Error> error;
  std::uint64_t parameters = 0;

 private:
  // Frequencies of the rotary positions, which follow from the configuration; some tools keep them.
  static bool is_derived(std::string_view name) {
    return name.ends_with(".attn_rot_embd.weight") || name.ends_with("rotary_emb.inv_freq");
  }

  const TensorInfo* find(const std::string& name, std::size_t cols, std::size_t rows) {
    if (error) return nullptr;
    const TensorInfo* tensor = file_.find_tensor(name);
    bound_.insert(name);
    if (tensor == nullptr) {
      error = fail(ErrorKind::corrupt, "tensor " + name + ": missing");
    } else if (tensor->cols() != cols || tensor->rows() != rows) {
      error = fail(ErrorKind::corrupt, "tensor " + name + ": expected " + shape(cols, rows) + ", found " +
                                           shape(tensor->cols(), tensor->rows()));
    } else {
      return tensor;
    }
    return nullptr;
  }

  const GgufFile& file_;
  std::unordered_set<std::string> bound_;
};

constexpr const char* kMixed = "mixed";

std::string common_type(const arith::LlamaWeights& weights) {
  const arith::WeightType first = weights.layers.front().attn_q.type;
  for (const arith::LlamaLayer& layer : weights.layers)
    for (const arith::Matrix* matrix : {&layer.attn_q, &layer.attn_k, &layer.attn_v, &layer.attn_output,
                                        &layer.ffn_gate, &layer.ffn_up, &layer.ffn_down})
      if (matrix->type != first) return kMixed;
  return lower_name(first);
}

}  // namespace

const std::vector<std::string>& quantisation_names() {
  static const std::vector<std::string> kNames = [] {
    std::vector<std::string> names{kMixed};
    for (const std::string& name : mixture_names())
      if (lower_name(find_mixture(name)->type) == name) names.push_back(name);
    return names;
  }();
  return kNames;
}

Result<Model> bind_model(const GgufFile& file) {
  Result<LlamaConfig> config = read_config(file);
  if (!config) return std::move(config).error();

  const LlamaConfig& c = *config;
  arith::LlamaWeights w;
  w.dim = c.dim;
  w.heads = c.heads;
  w.kv_heads = c.kv_heads;
  w.head_dim = c.head_dim;
  w.ffn_dim = c.ffn_dim;
  w.vocab_size = c.vocab_size;
  w.rms_epsilon = c.rms_epsilon;
  w.rope_base = c.rope_base;

  Binder bind(file);
  const std::size_t q_dim = c.heads * c.head_dim, kv_dim = c.kv_heads * c.head_dim;
  w.embedding = bind.matrix("token_embd.weight", c.dim, c.vocab_size);
  for (std::size_t l = 0; l < c.layers && !bind.error; ++l) {
    const std::string prefix = "blk." + std::to_string(l) + ".";
    arith::LlamaLayer layer;
    layer.attn_norm = bind.vector(prefix + "attn_norm.weight", c.dim);
    layer.attn_q = bind.matrix(prefix + "attn_q.weight", c.dim, q_dim);
    layer.attn_k = bind.matrix(prefix + "attn_k.weight", c.dim, kv_dim);
    layer.attn_v = bind.matrix(prefix + "attn_v.weight", c.dim, kv_dim);
    layer.attn_output = bind.matrix(prefix + "attn_output.weight", q_dim, c.dim);
    layer.ffn_norm = bind.vector(prefix + "ffn_norm.weight", c.dim);
    layer.ffn_gate = bind.matrix(prefix + "ffn_gate.weight", c.dim, c.ffn_dim);
    layer.ffn_up = bind.matrix(prefix + "ffn_up.weight", c.dim, c.ffn_dim);
    layer.ffn_down = bind.matrix(prefix + "ffn_down.weight", c.ffn_dim, c.dim);
    w.layers.push_back(layer);
  }
  w.output_norm = bind.vector("output_norm.weight", c.dim);
  if (file.find_tensor("rope_freqs.weight") != nullptr)
    w.rope_factors = bind.vector("rope_freqs.weight", c.head_dim / 2);
  w.output = file.find_tensor("output.weight") == nullptr ? w.embedding
                                                          : bind.matrix("output.weight", c.dim, c.vocab_size);
  bind.end();
  if (bind.error) return *bind.error;
  for (const float factor : w.rope_factors)
    if (!(factor >= 1.0f && factor <= 1e6f))
      return fail(ErrorKind::unsupported, "tensor rope_freqs.weight: expected factors from 1 to 1000000");

  std::string quantisation = common_type(w);
  return Model{std::move(*config), std::move(w), bind.parameters, std::move(quantisation)};
}

}  // namespace cortensor::engine
