// A5 for many tokens. A tile of 16 tokens by a block of 32 elements meets the block of 16 rows, unpacked into
// the first-level cache a segment at a time for a whole panel of tokens; where halves of a block have
// sub-scales, they meet one after the other. The 16 x 16 sums of some blocks wait in the cache until vectors
// take them, scaled, into the running totals.
//
// One block's sums are as many as its products divided by 32: reading them out costs as much as making them,
// so wider tile arrangements, which save loads of operands, gain nothing.
#pragma once

#include "compute/cpu/isa/amx_tiles.h"

namespace cortensor::compute {
namespace {

constexpr size_t kSegmentOfBlocks = 16;    // A5.2
constexpr size_t kWaiting = 8;             // blocks whose sums wait at a time
constexpr size_t kLeastBlockTokens = 9;    // fewer are faster without
constexpr size_t kReadBytes = 36 * kTile;  // of a record, by types without offsets

// A segment of a group of 16 rows.
template <class Blocks>
struct TileSegment {
  static constexpr size_t kHalves = Blocks::kSub ? 2 : 1, kOffsets = Blocks::kOffsets;
  alignas(64) uint8_t room[kSegmentOfBlocks][32 * kTile];
  const uint8_t* integers[kSegmentOfBlocks];  // [quads][row][4]
  F32 scales[kSegmentOfBlocks];
  F32 sub_scales[kSegmentOfBlocks][2];
  F32 offsets[kSegmentOfBlocks][kOffsets + 1];
};

// The integers of a block, signed, as the tile unit wants them: in place, or unpacked.
template <class Blocks>
inline const uint8_t* tile_integers(const uint8_t* block, uint8_t* room) {
  const typename Blocks::Weights weights(block);
  const I32 bias = set1_i32(Blocks::kBias, 4);
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    I32 first, second;
    weights.quads(j, first, second);
    _mm512_store_si512(room + 64 * j, sub_bytes(first, bias));
    _mm512_store_si512(room + 64 * (j + 4), sub_bytes(second, bias));
  }
  return room;
}
template <>
inline const uint8_t* tile_integers<ByteBlocks>(const uint8_t* block, uint8_t*) {
  return block;
}

// Unpacks `count` blocks that begin with the unit at p; returns where the next one begins.
template <class Blocks>
inline const uint8_t* unpack_segment(const uint8_t* p, size_t count, TileSegment<Blocks>& out) {
  for (size_t begin = 0; begin < count; begin += Blocks::kBlocks) {
    Scales<Blocks::kBlocks, Blocks::kOffsets> scales;
    Blocks::decode(p, scales);
    p += Blocks::kScaleBytes;
#pragma GCC unroll 8
    for (size_t i = 0; i < Blocks::kBlocks; ++i, p += Blocks::kBlockBytes) {
      const size_t b = begin + i;
      out.integers[b] = tile_integers<Blocks>(p, out.room[b]);
      out.scales[b] = scales.scale[i];
      if (Blocks::kSub) {
        out.sub_scales[b][0] = to_f32(_mm512_srai_epi32(_mm512_slli_epi32(scales.sub[i], 16), 16));
        out.sub_scales[b][1] = to_f32(_mm512_srai_epi32(scales.sub[i], 16));
      }
      for (size_t g = 0; g < Blocks::kOffsets; ++g)
        out.offsets[b][g] = scales.offset[i * Blocks::kOffsets + g];
    }
  }
  return p;
}

// The steps of the i-th product, by tile registers in turn: two pairs of operands, four of sums. Their
// numbers have to be known when this is compiled.
inline void load_operands(size_t i, const uint8_t* rows, const uint8_t* tokens) {
  if (i % 2 == 0) {
    _tile_loadd(4, tokens, 32);
    _tile_loadd(6, rows, 4 * kTile);
  } else {
    _tile_loadd(5, tokens, 32);
    _tile_loadd(7, rows, 4 * kTile);
  }
}
inline void multiply(size_t i) {
  switch (i % 4) {
    case 0:
      _tile_zero(0);
      _tile_dpbssd(0, 4, 6);
      break;
    case 1:
      _tile_zero(1);
      _tile_dpbssd(1, 5, 7);
      break;
    case 2:
      _tile_zero(2);
      _tile_dpbssd(2, 4, 6);
      break;
    default:
      _tile_zero(3);
      _tile_dpbssd(3, 5, 7);
  }
}
inline void store_sums(size_t i, Sums& out) {
  switch (i % 4) {
    case 0:
      _tile_stored(0, out, 4 * kTile);
      break;
    case 1:
      _tile_stored(1, out, 4 * kTile);
      break;
    case 2:
      _tile_stored(2, out, 4 * kTile);
      break;
    default:
      _tile_stored(3, out, 4 * kTile);
  }
}

// The sums of `count` blocks of 16 rows with the records of 16 tokens, or of each of their halves. A product
// finds its operands loaded one step before, and its sums are stored two steps later. Meanwhile the records
// of the next tokens are asked for.
template <class Blocks>
inline void block_sums(const uint8_t* const* integers, size_t count, const uint8_t* records,
                       const uint8_t* next_records, Sums (*sums)[TileSegment<Blocks>::kHalves]) {
  constexpr size_t kHalves = TileSegment<Blocks>::kHalves, kDepth = 32 / kHalves;
  const size_t products = count * kHalves;
#pragma GCC unroll 19
  for (size_t i = 0; i < kWaiting * kHalves + 3; ++i) {
    if (i >= 3 && i - 3 < products) store_sums(i - 3, sums[(i - 3) / kHalves][(i - 3) % kHalves]);
    if (i >= 1 && i - 1 < products) multiply(i - 1);
    if (i < products) {
      const size_t record = i / kHalves * kTile * kInputBytes;
      load_operands(i, integers[i / kHalves] + kDepth * kTile * (i % kHalves),
                    records + record + kDepth * (i % kHalves));
      if (i % kHalves == 0)
        for (size_t line = 0; line < kReadBytes; line += kLine)
          _mm_prefetch(reinterpret_cast<const char*>(next_records + record + line), _MM_HINT_T0);
    }
  }
}

// A5.2, a step of every sum: one block of 16 rows with 16 tokens. With sub-scales the integer sum is put
// together in binary32, exactly: it and its parts stay below 2^24.
template <class Blocks>
inline void add_block(const TileSegment<Blocks>& w, size_t b, const Sums* sums, const Record<kTile>& x,
                      F32 (&acc)[kTile]) {
  const F32 scale = w.scales[b], first = w.sub_scales[b][0], second = w.sub_scales[b][1];
#pragma GCC unroll 16
  for (size_t t = 0; t < kTile; ++t) {
    F32 sum = to_f32(_mm512_load_si512(sums[0][t]));
    if (Blocks::kSub) sum = fma(sum, first, mul(to_f32(_mm512_load_si512(sums[1][t])), second));
    acc[t] = fma(sum, mul(scale, set1(x.scale(static_cast<int>(t)))), acc[t]);
#pragma GCC unroll 2
    for (int g = 0; g < Blocks::kOffsets; ++g)
      acc[t] = fma(set1(x.factor(static_cast<int>(t), g, Blocks::kOffsets)), w.offsets[b][g], acc[t]);
  }
}

// Adds a segment's sums with the 16 tokens of a tile to their totals, [token][row].
template <class Blocks>
inline void add_tile(const TileSegment<Blocks>& w, size_t count, const uint8_t* records,
                     const uint8_t* next_records, bool first, float* totals, Ahead& next) {
  alignas(64) Sums sums[kWaiting][TileSegment<Blocks>::kHalves];
  F32 acc[kTile];
#pragma GCC unroll 16
  for (size_t t = 0; t < kTile; ++t) acc[t] = zero();
  for (size_t begin = 0; begin < count; begin += kWaiting) {
    const size_t end = smaller(count, begin + kWaiting);
    block_sums<Blocks>(w.integers + begin, end - begin, records + begin * kTile * kInputBytes,
                       next_records + begin * kTile * kInputBytes, sums);
    for (size_t b = begin; b < end; ++b) {
      next.ask();
      add_block<Blocks>(w, b, sums[b - begin], Record<kTile>(records + b * kTile * kInputBytes), acc);
    }
  }
#pragma GCC unroll 16
  for (size_t t = 0; t < kTile; ++t)
    store(totals + t * kTile, first ? acc[t] : add(load(totals + t * kTile), acc[t]));
}

// The sums of a group of rows with tokens [begin, end): totals[token][row].
template <class Blocks>
void block_group(const MatmulArgs& a, size_t group, size_t begin, size_t end, float (*totals)[kTile]) {
  constexpr size_t kUnitBytes = Blocks::kScaleBytes + Blocks::kBlocks * Blocks::kBlockBytes;
  const size_t tiles = (end - begin + kTile - 1) / kTile;
  alignas(64) TileSegment<Blocks> segment;
  const uint8_t* p = a.weights + group * (a.blocks / Blocks::kBlocks) * kUnitBytes;
  for (size_t block = 0; block < a.blocks; block += kSegmentOfBlocks) {
    const size_t count = smaller(kSegmentOfBlocks, a.blocks - block);
    p = unpack_segment<Blocks>(p, count, segment);
    Ahead next(p, count / Blocks::kBlocks * kUnitBytes, count * tiles);
    for (size_t i = 0; i < tiles; ++i) {
      const size_t token = begin + i * kTile;
      const uint8_t* records = a.input + (token * a.blocks + block * kTile) * kInputBytes;
      add_tile<Blocks>(segment, count, records, records + kTile * a.blocks * kInputBytes, block == 0,
                       totals[i * kTile], next);
    }
  }
}

template <class Blocks>
void matmul_blocks_amx(const MatmulArgs* args) {
  if (args->tokens < kLeastBlockTokens) return matmul_quantised<Blocks>(args);
  configure_tiles(32 / TileSegment<Blocks>::kHalves);
  for_each_panel(*args, [args](size_t group, size_t groups, size_t begin, size_t end) {
    alignas(64) Totals totals;
    for (size_t g = 0; g < groups; ++g) block_group<Blocks>(*args, group + g, begin, end, totals[g]);
    write_panel(*args, group, groups, begin, end, totals);
  });
  _tile_release();
}

}  // namespace
}  // namespace cortensor::compute
