// A17.6 for several tokens. A tile of 16 tokens by 64 elements meets 64 elements of 16 rows, which lie in
// memory as the tile unit wants them (segment_matrix.h); the 16 x 16 sums of a whole segment stay in the
// tile, and go through the first-level cache into the running totals.
#pragma once

#include "compute/cpu/isa/amx_tiles.h"

namespace cortensor::compute {
namespace {

constexpr size_t kStep = 64;               // elements of a tile's row
constexpr size_t kLeastSegmentTokens = 3;  // fewer are faster without

// The sums of `A` tiles of tokens with `B` groups of rows over one segment: sums[2 a + b].
template <int A, int B>
inline void tile_products(const int8_t* const* q, const uint8_t* const* w, size_t length, Ahead* next,
                          Sums* sums) {
  const auto stride = static_cast<long>(length);
  _tile_zero(0);
  if (B > 1) _tile_zero(1);
  if (A > 1) _tile_zero(2);
  if (A > 1 && B > 1) _tile_zero(3);
  for (size_t k = 0; k < length; k += kStep) {
    for (int b = 0; b < B; ++b) next[b].ask();
    _tile_loadd(4, q[0] + k, stride);
    _tile_loadd(6, w[0] + kTile * k, 64);
    _tile_dpbssd(0, 4, 6);
    if (B > 1) {
      _tile_loadd(7, w[1] + kTile * k, 64);
      _tile_dpbssd(1, 4, 7);
    }
    if (A > 1) {
      _tile_loadd(5, q[1] + k, stride);
      _tile_dpbssd(2, 5, 6);
    }
    if (A > 1 && B > 1) _tile_dpbssd(3, 5, 7);
  }
  _tile_stored(0, sums[0], 64);
  if (B > 1) _tile_stored(1, sums[1], 64);
  if (A > 1) _tile_stored(2, sums[2], 64);
  if (A > 1 && B > 1) _tile_stored(3, sums[3], 64);
}

// Where the int8 weights of a segment of a group lie: in place, or unpacked.
struct S8Tiles {
  static constexpr size_t bytes(size_t length) { return length * kTile; }
  static const uint8_t* unpack(const uint8_t* w, size_t, uint8_t*) { return w; }
};
struct S4Tiles {
  static constexpr size_t bytes(size_t length) { return length / 32 * 17 * kTile; }
  static const uint8_t* unpack(const uint8_t* w, size_t length, uint8_t* out) {
    const __m512i low = _mm512_set1_epi8(15), in_four = _mm512_set1_epi32(0x01010101);
    const size_t blocks = length / 32;
    const uint8_t* nibbles = w + blocks * kTile;
    for (size_t b = 0; b < blocks; ++b) {
      const S4Factors f = s4_factors(w + kTile * b);
      // factor * nibble in every byte, less what nibble 0 stands for; bytes do not run over, nothing carries.
      const __m512i factor = _mm512_and_si512(f, _mm512_set1_epi32(15));
      const __m512i least = _mm512_sub_epi32(_mm512_srai_epi32(f, 16), _mm512_slli_epi32(factor, 3));
      const __m512i lows = _mm512_mullo_epi32(_mm512_and_si512(least, _mm512_set1_epi32(255)), in_four);
      for (size_t j = 0; j < 4; ++j) {
        const __m512i v = _mm512_loadu_si512(nibbles + 256 * b + 64 * j);
        const __m512i first = _mm512_mullo_epi32(_mm512_and_si512(v, low), factor);
        const __m512i second = _mm512_mullo_epi32(_mm512_and_si512(_mm512_srli_epi16(v, 4), low), factor);
        _mm512_store_si512(out + 512 * b + 64 * j, _mm512_add_epi8(first, lows));
        _mm512_store_si512(out + 512 * b + 64 * (j + 4), _mm512_add_epi8(second, lows));
      }
    }
    return out;
  }
};

// acc = fma(sum, weight scale * token scale, acc) for the tokens of a tile; a first segment begins at zero.
inline void add_sums(const Sums& sums, F32 weight_scale, const float* scales, size_t tokens, bool first,
                     float* totals) {
  for (size_t t = 0; t < tokens; ++t) {
    float* total = totals + t * kTile;
    const F32 before = first ? zero() : load(total);
    const F32 sum = to_f32(_mm512_load_si512(sums[t]));
    store(total, fma(sum, mul(weight_scale, set1(scales[t])), before));
  }
}

// A tile of tokens in one segment.
struct TokenTile {
  size_t held;
  const int8_t* q;
  const float* scales;
};
// `before`: bytes of a token's records of the segments passed.
inline TokenTile token_tile(const MatmulArgs& a, size_t first, size_t before, size_t length) {
  const size_t held = smaller(kTile, a.tokens - first);
  const SegmentRecord x = segment_record(a.input + first * a.token_bytes + held * before, held, length);
  return {held, x.q, x.scales};
}

// The sums of B groups of rows with tokens [begin, end): totals[group][token][row].
template <class Tiles, int B>
void segment_groups(const MatmulArgs& a, size_t group, size_t begin, size_t end,
                    float (*totals)[kPanelTokens][kTile]) {
  alignas(64) uint8_t unpacked[B][512 * kTile];
  alignas(64) Sums sums[4];
  const uint8_t *p[B], *w[B];
  F32 weight_scales[B];
  Ahead next[B];
  for (size_t b = 0; b < B; ++b) p[b] = a.weights + (group + b) * a.row_bytes * kTile;
  size_t before = 0;
  for (size_t at = 0; at < a.cols;) {
    const size_t length = segment_length(a.cols - at), pairs = (end - begin + 2 * kTile - 1) / (2 * kTile);
    for (size_t b = 0; b < B; ++b) {
      weight_scales[b] = load_f32(p[b]);
      w[b] = Tiles::unpack(p[b] + 4 * kTile, length, unpacked[b]);
      const size_t bytes = 4 * kTile + Tiles::bytes(length);
      p[b] += bytes;
      next[b] = Ahead(p[b], bytes, pairs * (length / kStep));
    }
    for (size_t token = begin; token < end; token += 2 * kTile) {
      const int count = end - token > kTile ? 2 : 1;
      TokenTile tiles[2] = {token_tile(a, token, before, length)};
      if (count == 2) tiles[1] = token_tile(a, token + kTile, before, length);
      const int8_t* const q[2] = {tiles[0].q, tiles[1].q};
      (count == 2 ? tile_products<2, B> : tile_products<1, B>)(q, w, length, next, sums);
      for (int i = 0; i < count; ++i)
        for (int b = 0; b < B; ++b)
          add_sums(sums[2 * i + b], weight_scales[b], tiles[i].scales, tiles[i].held, at == 0,
                   totals[b][token - begin + static_cast<size_t>(i) * kTile]);
    }
    before += segment_record_bytes(1, length);
    at += length;
  }
}

template <class Segment, class Tiles>
void matmul_segments_amx(const MatmulArgs* args) {
  if (args->tokens < kLeastSegmentTokens || args->cols % kStep != 0) return matmul_segments<Segment>(args);
  configure_tiles(kStep);
  for_each_panel(*args, [args](size_t group, size_t groups, size_t begin, size_t end) {
    alignas(64) Totals totals;
    for (size_t g = 0; g < groups; g += 2)
      (g + 1 < groups ? segment_groups<Tiles, 2> : segment_groups<Tiles, 1>)(*args, group + g, begin, end,
                                                                             totals + g);
    write_panel(*args, group, groups, begin, end, totals);
  });
  _tile_release();
}

}  // namespace
}  // namespace cortensor::compute
