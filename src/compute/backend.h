// What a forward pass asks of a device: weight matrices in the device's own layout, and operations over rows
// of binary32 in plain memory. Every operation computes the bits that docs/spec/arithmetic.md prescribes, so
// backends, instruction sets, thread counts and batch shapes are interchangeable.
//
// Rows: activations are [tokens, width], row-major, contiguous. A batch may hold rows of several sequences.
// Failures: a row in which a non-finite number turns up gets failed[row] = 1 and meaningless values from then
// on; other rows are not touched by it. Operations never clear a flag. Threads: one caller at a time; an
// operation may use the backend's own workers and returns when it is done.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "arith/blocks.h"
#include "arith/kv_cache.h"
#include "base/bytes.h"
#include "base/result.h"
#include "compute/rope_table.h"

namespace cortensor::compute {

// A weight matrix [rows, cols] in the layout of the backend that loaded it.
class Matrix {
 public:
  virtual ~Matrix() = default;
  arith::WeightType type() const { return type_; }
  std::size_t rows() const { return rows_; }
  std::size_t cols() const { return cols_; }
  virtual std::size_t memory_bytes() const = 0;

 protected:
  Matrix(arith::WeightType type, std::size_t rows, std::size_t cols)
      : type_(type), rows_(rows), cols_(cols) {}

 private:
  arith::WeightType type_;
  std::size_t rows_, cols_;
};

// One product of matmul(): out = W x, or with `add`, out = RN(out + W x), the residual addition.
struct Product {
  const Matrix* weights = nullptr;
  float* out = nullptr;  // [tokens, weights->rows()]
  bool add = false;
};

// The matrices of a feed-forward part: gate and up [width, dim], down [dim, width].
struct FeedForward {
  const Matrix* gate = nullptr;
  const Matrix* up = nullptr;
  const Matrix* down = nullptr;
};

// Positions per page of the KV cache: the chunk of the attention rule (A12).
inline constexpr std::size_t kPagePositions = 64;

// The KV heads of a layer. head_dim is a multiple of 8, at most kMaxHeadDim.
struct KvShape {
  std::size_t kv_heads = 0;
  std::size_t head_dim = 0;
  arith::CacheType cache = arith::CacheType::int8;
};
inline constexpr std::size_t kMaxHeadDim = 256;

// Consecutive rows of a batch that belong to one sequence: row first_row + i is position first_position + i.
// pages[p] holds positions 64 p .. 64 p + 63 and must exist for every position up to the last row's. Pages
// are 64-byte aligned; their content needs no initialisation.
struct SequenceRows {
  std::size_t first_row = 0;
  std::size_t rows = 0;
  std::size_t first_position = 0;
  std::uint8_t* const* pages = nullptr;
};

using Failed = std::span<std::uint8_t>;  // [tokens]

class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string name() const = 0;  // for example "cpu avx2, 2 threads"
  virtual std::size_t threads() const = 0;

  // Packs a matrix from the bytes of a model file: `rows` rows of arith::row_bytes(type, cols). Fails if the
  // size does not match, cols are no whole blocks of the type, or a scale or weight is not finite. `bytes` is
  // not kept: its parts are given to `packed`, from any thread, as soon as they are not needed any more.
  using Packed = std::function<void(ByteView part)>;
  virtual Result<std::unique_ptr<Matrix>> load(arith::WeightType type, std::size_t rows, std::size_t cols,
                                               ByteView bytes, const Packed& packed = {}) = 0;

  // out[t] = row ids[t] of the table, widened (A2.4). ids[t] < table.rows(); out: [tokens, cols].
  virtual void embed(const Matrix& table, std::span<const std::uint32_t> ids, float* out) = 0;

  // A9. x, out: [tokens, weight.size()]; out may be x.
  virtual void rmsnorm(const float* x, std::size_t tokens, std::span<const float> weight, float epsilon,
                       float* out) = 0;

  // A5, A6. Several products of the same input, which is quantised once. x: [tokens, cols of every matrix];
  // an output must not overlap x. Marks rows of x that are not finite.
  virtual void matmul(const float* x, std::size_t tokens, std::span<const Product> products,
                      Failed failed) = 0;

  // A13, step 4 from the norm on and step 5: out = RN(out + down(swiglu(gate(x), up(x)))). x, out:
  // [tokens, dim]; out must not overlap x. Marks rows of x, and of what is gated, that are not finite.
  virtual void feed_forward(const float* x, std::size_t tokens, const FeedForward& weights, float* out,
                            Failed failed) = 0;

  // A10.3, in place. x: [tokens, heads * head_dim].
  virtual void rope(float* x, std::size_t heads, std::size_t head_dim, const RopeTable& table,
                    std::span<const SequenceRows> sequences) = 0;

  // Bytes that one layer needs in a page (a multiple of 64). A page may hold several layers at different
  // offsets.
  virtual std::size_t page_bytes(const KvShape& shape) const = 0;

  // A11. Puts keys (after RoPE) and values, [tokens, kv_heads * head_dim], into the sequences' pages at
  // `offset`.
  virtual void store_kv(const float* keys, const float* values, const KvShape& shape, std::size_t offset,
                        std::span<const SequenceRows> sequences, Failed failed) = 0;

  // A12. The row at position t attends to positions 0..t, all stored. q, out: [tokens, heads * head_dim];
  // query head h uses KV head h / (heads / kv_heads).
  virtual void attend(const float* q, std::size_t heads, const KvShape& shape, std::size_t offset,
                      std::span<const SequenceRows> sequences, float* out, Failed failed) = 0;

  // Marks rows of [tokens, width] that hold a non-finite number: for logits and hidden states before they
  // leave.
  virtual void check_finite(const float* x, std::size_t tokens, std::size_t width, Failed failed) = 0;
};

struct CpuOptions {
  std::size_t threads = 1;
  std::string isa;  // of the kernels; empty: CORTENSOR_ISA if set, else the best this machine has
};

// Fails if the instruction set is unknown, not available here, or does not pass its self-test.
Result<std::unique_ptr<Backend>> make_cpu_backend(const CpuOptions& options);

}  // namespace cortensor::compute
