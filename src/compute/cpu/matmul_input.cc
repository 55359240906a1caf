#include "compute/cpu/matmul_input.h"

#include <algorithm>

#include "base/check.h"
#include "compute/cpu/input_tiles.h"
#include "compute/cpu/packing.h"

namespace cortensor::compute {

using arith::kBlock;
using arith::kSegment;

namespace {

void grow(Buffer& buffer, std::size_t size) {
  if (buffer.size() >= size) return;
  buffer = Buffer(0);  // what it held is of no use: no copy, and never both in memory
  buffer = Buffer(size);
}

}  // namespace

void MatmulInput::begin(std::size_t tokens, std::span<const Product> products) {
  tokens_ = tokens;
  cols_ = products[0].weights->cols();
  blocks_ = PackedMatrix::padded_blocks(cols_);
  quantised_ = words_wanted_ = segmented_ = false;
  for (const Product& product : products) {
    const arith::WeightType type = product.weights->type();
    CORTENSOR_CHECK(product.weights->cols() == cols_);
    segmented_ |= arith::is_segmented(type);
    quantised_ |= arith::is_quantised(type);
    words_wanted_ |= arith::is_quantised(type) && kernels_.wants_words[static_cast<std::size_t>(type)];
  }
  if (quantised_) grow(tiles_, input_bytes(kernels_, tokens, blocks_));
  if (words_wanted_) grow(words_, tokens * blocks_ * kBlock * sizeof(std::int16_t));
  if (segmented_)
    grow(segments_, tokens * segment_token_bytes(cols_, arith::segment_count(cols_)) + kSegmentSlack);
}

bool MatmulInput::put(std::size_t token, std::size_t first, const float* x, std::size_t count) {
  if (!quantised_ && !segmented_) return kernels_.all_finite(x, count);
  bool finite = true;
  if (quantised_) {
    const InputTile tile = input_tile(kernels_, token, tokens_);
    // Of one token, before this: those of the tiles before, and of the tile's own tokens.
    const std::size_t at = tile.first * blocks_ + first / kBlock * tile.tokens;
    const std::size_t end = first + count == cols_ ? blocks_ : (first + count) / kBlock;
    std::int16_t* const row_words =
        words_wanted_ && tile.tokens == kTileTokens ? words() + at * kBlock : nullptr;
    finite &= kernels_.quantise(x, count, end - first / kBlock, tile.tokens, token - tile.first,
                                tiles_.data() + at * kInputBytes, row_words);
  }
  if (segmented_) {
    const std::size_t tile = token / kernels_.segment_tile * kernels_.segment_tile;
    const std::size_t tile_tokens = std::min(kernels_.segment_tile, tokens_ - tile);
    std::uint8_t* const to = segments_.data() +
                             tile * segment_token_bytes(cols_, arith::segment_count(cols_)) +
                             tile_tokens * segment_token_bytes(first, first / kSegment);
    finite &= kernels_.quantise_segments(x, count, tile_tokens, token - tile, to);
  }
  return finite;
}

MatmulArgs MatmulInput::args(arith::WeightType type) const {
  MatmulArgs args{};
  args.cols = cols_;
  args.tokens = tokens_;
  args.input = arith::is_segmented(type) ? segments_.data() : tiles_.data();
  args.words = words();
  args.blocks = blocks_;
  args.row_bytes = arith::row_bytes(type, cols_);
  args.tile_tokens = kernels_.segment_tile;
  args.token_bytes = segment_token_bytes(cols_, arith::segment_count(cols_));
  return args;
}

}  // namespace cortensor::compute
