// How the tokens of a product with quantised weights are cut into tiles of input (kernel_table.h).
#pragma once

#include <algorithm>

#include "compute/cpu/kernel_table.h"

namespace cortensor::compute {

struct InputTile {
  std::size_t first, tokens;  // a large one always has kLargeTile, padding included
};

// The tile of token t of `tokens`.
inline InputTile input_tile(const KernelTable& table, std::size_t t, std::size_t tokens) {
  if (tokens >= table.large_tile_tokens) return {t / kLargeTile * kLargeTile, kLargeTile};
  const std::size_t first = t / kTileTokens * kTileTokens;
  return {first, std::min(kTileTokens, tokens - first)};
}

// Bytes of all tiles.
inline std::size_t input_bytes(const KernelTable& table, std::size_t tokens, std::size_t blocks) {
  const InputTile last = input_tile(table, tokens - 1, tokens);
  return (last.first + last.tokens) * blocks * kInputBytes;
}

}  // namespace cortensor::compute
