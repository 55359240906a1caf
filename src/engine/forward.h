// The fast forward pass: reads like arith/llama_reference.cc, with a batch of rows where that has one token.
// Rows of any sequences may share a batch; a row's bits are those of the reference, whatever its company.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "arith/llama_reference.h"
#include "base/generation.h"
#include "base/result.h"
#include "compute/backend.h"
#include "engine/kv_pages.h"

namespace cortensor::engine {

// The next tokens of one sequence. Its earlier positions are in its pages already.
struct ForwardRows {
  std::span<const TokenId> tokens;
  std::size_t first_position = 0;
  std::span<const PageId> pages;  // covering every position up to the last
  std::size_t outputs = 0;        // how many of the last rows' final states are wanted
};

// Where a sequence's outputs are. After the first row with a non-finite value nothing of that sequence
// counts.
struct ForwardResult {
  std::size_t first_output = 0;
  std::size_t outputs = 0;  // usable ones; fewer than asked for when failed
  bool failed = false;
};

struct ForwardLimits {
  std::size_t context_length = 0;
  std::size_t pages = 0;     // of the cache, of kPagePositions each
  std::size_t max_rows = 0;  // of one batch
};

// One thread at a time.
class Forward {
 public:
  using Progress = std::function<void(double fraction)>;
  using Release = compute::Backend::Packed;

  // Loads the weights into the backend, which must outlive this, in the order in which they lie in memory.
  // They are not kept: the bytes of a matrix are given to `release`, from any thread, as soon as they are
  // packed.
  static Result<std::unique_ptr<Forward>> create(const arith::LlamaWeights& weights,
                                                 compute::Backend& backend, const ForwardLimits& limits,
                                                 const Progress& progress = {}, const Release& release = {});

  // Of the cache, for such a model: the memory of a page.
  static std::size_t page_bytes(const arith::LlamaWeights& weights, const compute::Backend& backend);

  // Computes a batch of at most max_rows rows; results are per sequence, in order, and live until the next
  // run.
  std::span<const ForwardResult> run(std::span<const ForwardRows> batch);

  // Of the last run: [dim], after the final norm.
  std::span<const float> hidden(std::size_t output) const;
  // Of the last run: logits of `count` outputs from `first` on; out: [count, vocab_size]. May be called again
  // for other outputs. Non-finite logits are for the sampler to refuse.
  void logits(std::size_t first, std::size_t count, std::span<float> out);

  std::size_t dim() const { return shape_.dim; }
  std::size_t vocab_size() const { return shape_.vocab_size; }

 private:
  using MatrixPtr = std::unique_ptr<compute::Matrix>;
  struct Layer {
    std::vector<float> attn_norm, ffn_norm;
    MatrixPtr attn_q, attn_k, attn_v, attn_output, ffn_gate, ffn_up, ffn_down;
  };
  struct Shape {
    std::size_t dim, heads, head_dim, vocab_size;
    float rms_epsilon;
    compute::KvShape kv;
    std::size_t q_dim() const { return heads * head_dim; }
    std::size_t kv_dim() const { return kv.kv_heads * kv.head_dim; }
  };
  struct FreeAligned {
    void operator()(std::uint8_t* memory) const { std::free(memory); }
  };

  Forward(const arith::LlamaWeights& weights, compute::Backend& backend, const ForwardLimits& limits);
  Status load(const arith::LlamaWeights& weights, const Progress& progress, const Release& release);
  void lay_out(std::span<const ForwardRows> batch);
  void attention(std::size_t layer);
  void feed_forward(const Layer& layer);
  void keep_outputs();
  void find_bad_outputs();

  compute::Backend& backend_;
  Shape shape_;
  ForwardLimits limits_;
  compute::RopeTable rope_;
  std::vector<Layer> layers_;
  std::vector<float> output_norm_;
  MatrixPtr embedding_;
  MatrixPtr output_;  // none: the embedding

  std::size_t layer_page_bytes_ = 0;
  std::unique_ptr<std::uint8_t, FreeAligned> cache_;

  // The batch in work. In the end its rows are the outputs.
  std::size_t rows_ = 0, outputs_ = 0;
  std::vector<TokenId> tokens_;
  std::vector<std::uint8_t*> pages_;
  std::vector<compute::SequenceRows> sequences_;
  std::vector<std::uint8_t> failed_;
  std::vector<ForwardResult> results_;
  std::vector<float> x_;       // [max_rows, dim]
  std::vector<float> normed_;  // the same, or what attention makes of it, [max_rows, heads * head_dim]
  std::vector<float> qkv_;     // of attention(), one array of [rows, ...] after another
  std::vector<float> hidden_;  // [outputs, dim], final
};

}  // namespace cortensor::engine
