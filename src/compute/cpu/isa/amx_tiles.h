// The matrix unit's tiles: 0 to 3 hold sums of 16 tokens with 16 rows, 4 and 5 elements of tokens, 6 and 7 of
// rows. Included by one kernel object only, behind the algorithms of its lanes.
#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

namespace cortensor::compute {
namespace {

constexpr size_t kTile = kLargeTile;  // tokens, and rows of weights
using Sums = int32_t[kTile][kTile];   // [token][row]

// `depth` elements of each token and row in a tile: a multiple of 4, 64 at most.
inline void configure_tiles(size_t depth) {
  struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
  } config = {};
  config.palette = 1;
  for (int i = 0; i < 8; ++i) {
    config.row_bytes[i] = static_cast<uint16_t>(i == 4 || i == 5 ? depth : 4 * kTile);
    config.rows[i] = static_cast<uint8_t>(i == 6 || i == 7 ? depth / 4 : kTile);
  }
  __asm__ volatile("ldtilecfg %0" ::"m"(config) : "memory");
}

}  // namespace
}  // namespace cortensor::compute
