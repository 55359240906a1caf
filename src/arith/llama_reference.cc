#include "arith/llama_reference.h"

#include "arith/attention.h"
#include "arith/matmul.h"
#include "arith/rmsnorm.h"
#include "arith/silu.h"

namespace cortensor::arith {

namespace {

bool multiply(const Matrix& matrix, std::span<const float> x, std::span<float> y) {
  return matvec(matrix.type, matrix.data, x, y);
}

// Head `index` of a row of heads.
template <class T>
std::span<T> head_of(std::span<T> row, std::size_t index, std::size_t head_dim) {
  return row.subspan(index * head_dim, head_dim);
}

}  // namespace

CacheType cache_type(const LlamaWeights& weights) {
  for (const LlamaLayer& layer : weights.layers)
    for (const Matrix* matrix : {&layer.attn_q, &layer.attn_k, &layer.attn_v, &layer.attn_output,
                                 &layer.ffn_gate, &layer.ffn_up, &layer.ffn_down})
      if (is_segmented(matrix->type)) return CacheType::int8;
  return CacheType::f16;
}

LlamaReference::LlamaReference(const LlamaWeights& weights)
    : weights_(weights), x_(weights.dim), hidden_(weights.dim) {
  const LlamaWeights& w = weights_;
  for (std::size_t i = 0; i < w.head_dim / 2; ++i) {
    const float factor = w.rope_factors.empty() ? 1.0f : w.rope_factors[i];
    frequencies_.push_back(rope_frequency(static_cast<double>(w.rope_base), w.head_dim, i, factor));
  }
  const std::vector<CachedRows> empty(w.kv_heads, CachedRows(w.head_dim, cache_type(w)));
  cache_.assign(w.layers.size(), LayerCache{empty, empty});
}

bool LlamaReference::step(std::uint32_t token) {
  const LlamaWeights& w = weights_;
  embedding_row(w.embedding.type, w.embedding.data + token * row_bytes(w.embedding.type, w.dim), x_);
  for (std::size_t l = 0; l < w.layers.size(); ++l) {
    if (!attention(w.layers[l], cache_[l])) return false;
    if (!feed_forward(w.layers[l])) return false;
  }
  rmsnorm(x_, w.output_norm, w.rms_epsilon, hidden_);
  ++position_;
  return largest_magnitude_bits(hidden_) < kInfinityBits;
}

// x += output(attend(norm(x)))
bool LlamaReference::attention(const LlamaLayer& layer, LayerCache& cache) {
  const LlamaWeights& w = weights_;
  std::vector<float> normed(w.dim);
  rmsnorm(x_, layer.attn_norm, w.rms_epsilon, normed);

  std::vector<float> q(w.heads * w.head_dim), k(w.kv_heads * w.head_dim), v(w.kv_heads * w.head_dim);
  if (!multiply(layer.attn_q, normed, q)) return false;
  if (!multiply(layer.attn_k, normed, k)) return false;
  if (!multiply(layer.attn_v, normed, v)) return false;

  std::vector<SinCos> rotation;
  for (const double frequency : frequencies_) rotation.push_back(rope_entry(position_, frequency));
  for (std::size_t h = 0; h < w.heads; ++h) rotate(head_of(std::span(q), h, w.head_dim), rotation);
  for (std::size_t h = 0; h < w.kv_heads; ++h) rotate(head_of(std::span(k), h, w.head_dim), rotation);

  for (std::size_t h = 0; h < w.kv_heads; ++h) {
    if (!cache.keys[h].append(head_of(std::span(k), h, w.head_dim))) return false;
    if (!cache.values[h].append(head_of(std::span(v), h, w.head_dim))) return false;
  }

  std::vector<float> attended(w.heads * w.head_dim);
  const std::size_t heads_per_kv = w.heads / w.kv_heads;
  for (std::size_t h = 0; h < w.heads; ++h) {
    const std::size_t kv = h / heads_per_kv;
    if (!attend(head_of(std::span(q), h, w.head_dim), cache.keys[kv], cache.values[kv], position_ + 1,
                head_of(std::span(attended), h, w.head_dim)))
      return false;
  }

  std::vector<float> projected(w.dim);
  if (!multiply(layer.attn_output, attended, projected)) return false;
  for (std::size_t i = 0; i < w.dim; ++i) x_[i] = x_[i] + projected[i];
  return true;
}

// x += down(swiglu(gate(norm(x)), up(norm(x))))
bool LlamaReference::feed_forward(const LlamaLayer& layer) {
  const LlamaWeights& w = weights_;
  std::vector<float> normed(w.dim);
  rmsnorm(x_, layer.ffn_norm, w.rms_epsilon, normed);

  std::vector<float> gate(w.ffn_dim), up(w.ffn_dim);
  if (!multiply(layer.ffn_gate, normed, gate)) return false;
  if (!multiply(layer.ffn_up, normed, up)) return false;
  for (std::size_t i = 0; i < w.ffn_dim; ++i) gate[i] = swiglu(gate[i], up[i]);

  std::vector<float> projected(w.dim);
  if (!multiply(layer.ffn_down, gate, projected)) return false;
  for (std::size_t i = 0; i < w.dim; ++i) x_[i] = x_[i] + projected[i];
  return true;
}

bool LlamaReference::logits(std::span<float> out) const {
  return multiply(weights_.output, hidden_, out);
}

}  // namespace cortensor::arith
