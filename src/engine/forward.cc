#include "engine/forward.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <utility>

#include "base/check.h"

namespace cortensor::engine {

Forward::Forward(const arith::LlamaWeights& weights, compute::Backend& backend, const ForwardLimits& limits)
    : backend_(backend),
      shape_{weights.dim,         weights.heads,
             weights.head_dim,    weights.vocab_size,
             weights.rms_epsilon, {weights.kv_heads, weights.head_dim, arith::cache_type(weights)}},
      limits_(limits),
      rope_(weights.head_dim, static_cast<double>(weights.rope_base), weights.rope_factors,
            std::min(limits.context_length, limits.pages * kPagePositions)),
      output_norm_(weights.output_norm.begin(), weights.output_norm.end()),
      failed_(limits.max_rows),
      x_(limits.max_rows * shape_.dim),
      normed_(limits.max_rows * std::max(shape_.dim, shape_.q_dim())),
      qkv_(limits.max_rows * (shape_.q_dim() + 2 * shape_.kv_dim())) {}

std::size_t Forward::page_bytes(const arith::LlamaWeights& weights, const compute::Backend& backend) {
  return weights.layers.size() *
         backend.page_bytes({weights.kv_heads, weights.head_dim, arith::cache_type(weights)});
}

Result<std::unique_ptr<Forward>> Forward::create(const arith::LlamaWeights& weights,
                                                 compute::Backend& backend, const ForwardLimits& limits,
                                                 const Progress& progress, const Release& release) {
  std::unique_ptr<Forward> forward(new Forward(weights, backend, limits));
  if (Status loaded = forward->load(weights, progress, release); !loaded) return std::move(loaded).error();
  return forward;
}

Status Forward::load(const arith::LlamaWeights& weights, const Progress& progress, const Release& release) {
  struct Loading {
    const arith::Matrix* from;
    MatrixPtr* to;
    std::size_t bytes() const { return from->rows * arith::row_bytes(from->type, from->cols); }
  };
  std::vector<Loading> matrices{{&weights.embedding, &embedding_}};
  if (weights.output.data != weights.embedding.data) matrices.push_back({&weights.output, &output_});
  layers_.resize(weights.layers.size());
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    const arith::LlamaLayer& from = weights.layers[l];
    Layer& to = layers_[l];
    to.attn_norm.assign(from.attn_norm.begin(), from.attn_norm.end());
    to.ffn_norm.assign(from.ffn_norm.begin(), from.ffn_norm.end());
    matrices.insert(matrices.end(), {{&from.attn_q, &to.attn_q},
                                     {&from.attn_k, &to.attn_k},
                                     {&from.attn_v, &to.attn_v},
                                     {&from.attn_output, &to.attn_output},
                                     {&from.ffn_gate, &to.ffn_gate},
                                     {&from.ffn_up, &to.ffn_up},
                                     {&from.ffn_down, &to.ffn_down}});
  }
  std::sort(matrices.begin(), matrices.end(),
            [](const Loading& a, const Loading& b) { return std::less<>()(a.from->data, b.from->data); });
  double total = 0, done = 0;
  for (const Loading& matrix : matrices) total += static_cast<double>(matrix.bytes());
  for (const Loading& matrix : matrices) {
    const auto& [type, rows, cols, data] = *matrix.from;
    auto loaded = backend_.load(type, rows, cols, {data, matrix.bytes()}, release);
    if (!loaded) return std::move(loaded).error();
    *matrix.to = std::move(*loaded);
    done += static_cast<double>(matrix.bytes());
    if (progress) progress(done / total);
  }

  // Untouched memory costs nothing: the system hands out real pages as the cache fills.
  layer_page_bytes_ = backend_.page_bytes(shape_.kv);
  constexpr std::size_t kAlignment = 64;
  const std::size_t bytes = limits_.pages * layers_.size() * layer_page_bytes_;
  cache_.reset(static_cast<std::uint8_t*>(std::aligned_alloc(kAlignment, bytes)));
  if (!cache_)
    return fail(ErrorKind::unavailable, "key/value cache: no memory for " + std::to_string(bytes) + " bytes");
  return ok();
}

std::span<const ForwardResult> Forward::run(std::span<const ForwardRows> batch) {
  lay_out(batch);
  backend_.embed(*embedding_, tokens_, x_.data());
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    attention(l);
    feed_forward(layers_[l]);
  }
  hidden_.resize(std::max(hidden_.size(), rows_ * shape_.dim));
  backend_.rmsnorm(x_.data(), rows_, output_norm_, shape_.rms_epsilon, hidden_.data());
  backend_.check_finite(hidden_.data(), rows_, shape_.dim, {failed_.data(), rows_});
  find_bad_outputs();
  return results_;
}

// Rows one sequence after another, and each sequence's page table as addresses.
void Forward::lay_out(std::span<const ForwardRows> batch) {
  tokens_.clear();
  pages_.clear();
  sequences_.clear();
  results_.clear();
  outputs_ = 0;
  for (const ForwardRows& rows : batch) {
    CORTENSOR_CHECK(!rows.tokens.empty() && rows.outputs <= rows.tokens.size());
    CORTENSOR_CHECK(rows.first_position + rows.tokens.size() <= limits_.context_length);
    CORTENSOR_CHECK(pages_for(rows.first_position + rows.tokens.size()) <= rows.pages.size());
    sequences_.push_back({tokens_.size(), rows.tokens.size(), rows.first_position, nullptr});
    results_.push_back({outputs_, rows.outputs, false});
    outputs_ += rows.outputs;
    tokens_.insert(tokens_.end(), rows.tokens.begin(), rows.tokens.end());
    for (const PageId page : rows.pages) {
      CORTENSOR_CHECK(page < limits_.pages);
      pages_.push_back(cache_.get() + page * layers_.size() * layer_page_bytes_);
    }
  }
  rows_ = tokens_.size();
  CORTENSOR_CHECK(rows_ <= limits_.max_rows);
  std::fill_n(failed_.begin(), rows_, std::uint8_t{0});
  std::size_t first_page = 0;  // only now, because the vector of addresses has moved while it grew
  for (std::size_t s = 0; s < batch.size(); ++s) {
    sequences_[s].pages = pages_.data() + first_page;
    first_page += batch[s].pages.size();
  }
}

// x += output(attend(norm(x))). In the last layer keys and values are all that matters of rows whose final
// states nobody wants: from there on only the others remain.
void Forward::attention(std::size_t l) {
  const Layer& layer = layers_[l];
  const std::size_t offset = l * layer_page_bytes_;
  const auto failed = [&] { return compute::Failed(failed_.data(), rows_); };
  float* const q = qkv_.data();
  float* const k = q + rows_ * shape_.q_dim();
  float* const v = k + rows_ * shape_.kv_dim();
  backend_.rmsnorm(x_.data(), rows_, layer.attn_norm, shape_.rms_epsilon, normed_.data());

  const bool narrows = l + 1 == layers_.size() && outputs_ < rows_;
  const compute::Product qkv[] = {{layer.attn_q.get(), q}, {layer.attn_k.get(), k}, {layer.attn_v.get(), v}};
  backend_.matmul(normed_.data(), rows_, std::span(qkv).subspan(narrows ? 1 : 0), failed());
  backend_.rope(k, shape_.kv.kv_heads, shape_.head_dim, rope_, sequences_);
  backend_.store_kv(k, v, shape_.kv, offset, sequences_, failed());
  if (narrows) {
    keep_outputs();
    backend_.matmul(normed_.data(), rows_, std::span(qkv).first(1), failed());
  }
  backend_.rope(q, shape_.heads, shape_.head_dim, rope_, sequences_);
  float* const attended = normed_.data();  // what was there is in the products already
  backend_.attend(q, shape_.heads, shape_.kv, offset, sequences_, attended, failed());

  const compute::Product projection[] = {{layer.attn_output.get(), x_.data(), true}};
  backend_.matmul(attended, rows_, projection, failed());
}

// Packs the rows whose final states are wanted. A bad one among the others spoils its sequence.
void Forward::keep_outputs() {
  for (std::size_t s = 0; s < sequences_.size(); ++s) {
    compute::SequenceRows& rows = sequences_[s];
    ForwardResult& result = results_[s];
    const std::size_t others = rows.rows - result.outputs, first = rows.first_row + others;
    result.failed = std::find(&failed_[rows.first_row], failed_.data() + first, 1) != failed_.data() + first;
    const auto move = [&](auto& values, std::size_t width) {
      std::copy_n(values.data() + first * width, result.outputs * width,
                  values.data() + result.first_output * width);
    };
    move(x_, shape_.dim);
    move(normed_, shape_.dim);
    move(failed_, 1);
    rows = {result.first_output, result.outputs, rows.first_position + others, rows.pages};
  }
  rows_ = outputs_;
}

// x += down(swiglu(gate(norm(x)), up(norm(x))))
void Forward::feed_forward(const Layer& layer) {
  const compute::Failed failed(failed_.data(), rows_);
  backend_.rmsnorm(x_.data(), rows_, layer.ffn_norm, shape_.rms_epsilon, normed_.data());
  backend_.feed_forward(normed_.data(), rows_,
                        {layer.ffn_gate.get(), layer.ffn_up.get(), layer.ffn_down.get()}, x_.data(), failed);
}

// Outputs count up to each sequence's first bad row.
void Forward::find_bad_outputs() {
  for (ForwardResult& result : results_) {
    const std::uint8_t *const begin = failed_.data() + result.first_output, *const end =
                                                                                begin + result.outputs;
    const std::uint8_t* const good_end = result.failed ? begin : std::find(begin, end, 1);
    result.outputs = static_cast<std::size_t>(good_end - begin);
    result.failed |= good_end < end;
  }
}

std::span<const float> Forward::hidden(std::size_t output) const {
  return std::span(hidden_).subspan(output * shape_.dim, shape_.dim);
}

void Forward::logits(std::size_t first, std::size_t count, std::span<float> out) {
  CORTENSOR_CHECK(out.size() == count * shape_.vocab_size);
  std::vector<std::uint8_t> failed(count);
  const compute::Product product[] = {{output_ ? output_.get() : embedding_.get(), out.data()}};
  backend_.matmul(hidden_.data() + first * shape_.dim, count, product, failed);
}

}  // namespace cortensor::engine
