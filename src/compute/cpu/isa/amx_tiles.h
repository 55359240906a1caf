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
constexpr size_t kLine = 64;          // bytes of the cache

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

// Rows of weights meet a panel of tokens whose input takes half of the second-level cache. The sums of some
// groups of rows are written together: an output row lies far from the next one.
constexpr size_t kPanelTokens = 256, kPanelElements = size_t{1} << 20, kPanelGroups = 8;
using Totals = float[kPanelGroups][kPanelTokens][kTile];  // [group][token][row]

inline size_t panel_tokens(const MatmulArgs& a) {
  return smaller(kPanelTokens, kPanelElements / a.cols / kTile * kTile + kTile);
}

// Bytes that come next, asked for in `parts` parts while others are worked on, to be in the second-level
// cache.
class Ahead {
 public:
  Ahead() = default;
  Ahead(const uint8_t* p, size_t bytes, size_t parts)
      : line_(p), end_(p + bytes), step_((bytes + parts * kLine - 1) / (parts * kLine) * kLine) {}
  void ask() {
    for (size_t i = 0; i < step_ && line_ < end_; i += kLine, line_ += kLine)
      _mm_prefetch(reinterpret_cast<const char*>(line_), _MM_HINT_T1);
  }

 private:
  const uint8_t *line_ = nullptr, *end_ = nullptr;
  size_t step_ = 0;
};

// Calls panel(group, groups, begin, end) for panels of groups of rows and of tokens that cover the product.
template <class Panel>
inline void for_each_panel(const MatmulArgs& a, const Panel& panel) {
  const size_t tokens = panel_tokens(a);
  for (size_t begin = 0; begin < a.tokens; begin += tokens)
    for (size_t group = a.first_group; group < a.end_group; group += kPanelGroups)
      panel(group, smaller(kPanelGroups, a.end_group - group), begin, smaller(begin + tokens, a.tokens));
}

inline void write_panel(const MatmulArgs& a, size_t group, size_t groups, size_t begin, size_t end,
                        const Totals& totals) {
  for (size_t t = begin; t < end; ++t)
    for (size_t g = 0; g < groups; ++g) write_rows(a, t, (group + g) * kTile, load(totals[g][t - begin]));
}

}  // namespace
}  // namespace cortensor::compute
