// The whole Llama forward pass in the open: one token after another, no batching, no paging, no threads.
// Every fast path must give exactly these bits; read this first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "arith/blocks.h"
#include "arith/kv_cache.h"
#include "arith/rope.h"

namespace cortensor::arith {

// A weight matrix as it lies in the file: `rows` rows of row_bytes(type, cols) bytes. Borrowed.
struct Matrix {
  WeightType type = WeightType::f32;
  std::size_t rows = 0;
  std::size_t cols = 0;
  const std::uint8_t* data = nullptr;
};

struct LlamaLayer {
  std::span<const float> attn_norm;  // [dim]
  Matrix attn_q;                     // [heads * head_dim, dim]
  Matrix attn_k;                     // [kv_heads * head_dim, dim]
  Matrix attn_v;                     // [kv_heads * head_dim, dim]
  Matrix attn_output;                // [dim, heads * head_dim]
  std::span<const float> ffn_norm;   // [dim]
  Matrix ffn_gate;                   // [ffn_dim, dim]
  Matrix ffn_up;                     // [ffn_dim, dim]
  Matrix ffn_down;                   // [dim, ffn_dim]
};

struct LlamaWeights {
  std::size_t dim = 0;
  std::size_t heads = 0;
  std::size_t kv_heads = 0;  // divides heads
  std::size_t head_dim = 0;  // a multiple of 8
  std::size_t ffn_dim = 0;
  std::size_t vocab_size = 0;
  float rms_epsilon = 0.0f;
  float rope_base = 0.0f;
  std::span<const float> rope_factors;  // [head_dim / 2], or empty
  Matrix embedding;                     // [vocab_size, dim]
  std::vector<LlamaLayer> layers;
  std::span<const float> output_norm;  // [dim]
  Matrix output;                       // [vocab_size, dim]; the embedding itself where the two are tied
};

// Spec: A11. int8 if any layer has a native matrix, binary16 otherwise.
CacheType cache_type(const LlamaWeights& weights);

// Spec: A13. One sequence. `weights` must outlive it.
class LlamaReference {
 public:
  explicit LlamaReference(const LlamaWeights& weights);

  // Takes the token of the next position. Returns false if a value became infinite or NaN; nothing here is
  // then meaningful any more.
  bool step(std::uint32_t token);

  std::size_t positions() const { return position_; }
  std::span<const float> hidden() const { return hidden_; }  // [dim] after the final norm, of the last token
  // [vocab_size], from hidden().
  bool logits(std::span<float> out) const;

 private:
  struct LayerCache {  // one element per KV head
    std::vector<CachedRows> keys;
    std::vector<CachedRows> values;
  };
  bool attention(const LlamaLayer& layer, LayerCache& cache);
  bool feed_forward(const LlamaLayer& layer);

  const LlamaWeights& weights_;
  std::vector<double> frequencies_;  // [head_dim / 2]
  std::vector<LayerCache> cache_;    // [layers]
  std::vector<float> x_;             // [dim], the residual stream
  std::vector<float> hidden_;        // [dim]
  std::size_t position_ = 0;
};

}  // namespace cortensor::arith
