// The kernels of one instruction set: plain functions over plain memory. This header is compiled into objects
// with different instruction-set flags, so it contains types only: no function, nothing from the standard
// library.
//
// `width` is the number of rows that a vector of the instruction set holds (1, 4, 8 or 16); the packed
// layouts follow from it (packing.h). Row counts, sums and scales are those of docs/spec/arithmetic.md.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "arith/weight_type.h"

namespace cortensor::compute {

// A quantised input is cut into tiles of 4 tokens, the last tile of what remains, or, for many tokens where
// that suits the instruction set, into large ones of 16, the last one padded. A tile of T tokens holds
// one record per block, kInputBytes * T long: q [T][32], then seven times [T] numbers of four bytes: the
// scales; the starting values of the two kinds of integer sums, in the form that suits the instruction set;
// the sums of q over both halves of the block, a word each; and what offsets are multiplied with (A5.1), for
// the block and for each half. For types that want words, q of the whole tiles of 4 is there once more, in
// words: [blocks][4][32] a tile.
constexpr size_t kTileTokens = 4, kLargeTile = 16, kInputBytes = 32 + 7 * 4;

// A product of packed weights with the rows of an input. Computes row groups [first_group, end_group).
struct MatmulArgs {
  const uint8_t* weights;  // packed, group 0
  size_t rows;             // of the matrix; the last group may be partly padding
  size_t cols;
  size_t tokens;
  size_t first_group, end_group;
  const float* x;        // [tokens, cols]; regular weights
  const uint8_t* input;  // tiles; quantised and segmented weights
  const int16_t* words;  // of the whole tiles, for types that want them
  size_t blocks;         // even; a padding block is zero
  size_t row_bytes;      // of segmented weights, as in the file
  size_t token_bytes;    // of a tile of segmented input
  size_t tile_tokens;    // of segmented input
  float* out;            // [tokens, rows]
  bool add;              // out = out + product instead of out = product
};

// One query row of one head; it attends to keys 0 .. keys-1.
struct AttendQuery {
  const float* x;  // [head_dim]
  float* out;      // [head_dim]
  size_t keys;     // >= 1
};

constexpr size_t kAttendQueries = 64;

// Queries that share a KV head, by rising number of keys, the last key of each in the same page.
struct AttendArgs {
  const AttendQuery* queries;
  size_t count;  // 1 .. kAttendQueries
  const uint8_t* const* pages;
  size_t offset;  // of the KV head inside each page
  size_t head_dim;
  float scale;  // A12.1
  bool f16;     // the cache is binary16
};

// Of a tile of segmented input, per token: q, two numbers per block of 32, two per segment.
constexpr size_t kSegmentSlack = 8192;
constexpr size_t segment_token_bytes(size_t cols, size_t segments) {
  return cols + cols / 4 + 8 * segments;
}

// Types with a number of the file format's.
constexpr size_t kWeightTypes = static_cast<size_t>(arith::WeightType::bf16) + 1;

struct KernelTable {
  const char* name;
  size_t width;
  size_t large_tile_tokens;  // products of at least so many tokens want large tiles

  // A4. Writes token `lane` of the tile of `tile_tokens` tokens that begins at `tile`, and of its words
  // unless they are null; elements from n on are zero. Returns false if a value is not finite.
  bool (*quantise)(const float* x, size_t n, size_t blocks, size_t tile_tokens, size_t lane, uint8_t* tile,
                   int16_t* words);
  bool (*all_finite)(const float* x, size_t n);

  // A5, A6. By weight type; null where the number is no type.
  void (*matmul[kWeightTypes])(const MatmulArgs*);
  bool wants_words[kWeightTypes];

  // A17.5. As quantise(); cols is a multiple of 32, a tile has segment_tile tokens, the last one what
  // remains, and takes as many times segment_token_bytes(). Kernels may read kSegmentSlack bytes behind the
  // last.
  size_t segment_tile;
  bool (*quantise_segments)(const float* x, size_t cols, size_t tile_tokens, size_t lane, uint8_t* tile);
  // A17.6
  void (*matmul_s8)(const MatmulArgs*);
  void (*matmul_s4)(const MatmulArgs*);

  void (*rmsnorm)(const float* x, const float* weight, size_t n, float epsilon, float* y);  // A9
  void (*swiglu)(const float* gate, const float* up, size_t n, float* out);                 // A8.2
  // A10.3. sincos: [pairs, 2]
  void (*rope)(float* x, size_t heads, size_t head_dim, const float* sincos, size_t pairs);
  // A12. Bit i of the result: query i or one of its scores is not finite.
  uint64_t (*attend)(const AttendArgs*);
};

const KernelTable* scalar_kernels();
const KernelTable* avx2_kernels();
const KernelTable* avx512_kernels();
const KernelTable* amx_kernels();
const KernelTable* neon_kernels();

}  // namespace cortensor::compute
