// y = W x for one token, by the rule that belongs to the weight type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "arith/dot.h"
#include "arith/segment.h"

namespace cortensor::arith {

// Spec: A2.4, A17.7. A row of an embedding table. row: row_bytes(type, out.size()) bytes.
inline void embedding_row(WeightType type, const std::uint8_t* row, std::span<float> out) {
  is_segmented(type) ? unrotate_row(type, row, out) : widen_row(type, row, out);
}

// Spec: A2.5, A17.3, A17.4. Whether a file with this row may be used.
inline bool row_is_good(WeightType type, const std::uint8_t* row, std::size_t cols) {
  return is_segmented(type) ? segments_are_good(type, row, cols) : row_is_finite(type, row, cols);
}

// Spec: A5, A6, A17. weights: y.size() rows of row_bytes(type, x.size()) bytes; x.size() is
// a multiple of file_block(type).elements. Returns false if an element of x is not finite; y is then
// meaningless.
inline bool matvec(WeightType type, const std::uint8_t* weights, std::span<const float> x,
                   std::span<float> y) {
  const std::size_t stride = row_bytes(type, x.size());
  if (is_quantised(type)) {
    QuantisedRow quantised;
    if (!quantise_row(x, quantised)) return false;
    for (std::size_t n = 0; n < y.size(); ++n) y[n] = dot_quantised(type, weights + n * stride, quantised);
    return true;
  }
  if (is_segmented(type)) {
    RotatedRow rotated;
    if (!rotate_row(x, rotated)) return false;
    for (std::size_t n = 0; n < y.size(); ++n) y[n] = dot_segments(type, weights + n * stride, rotated);
    return true;
  }
  if (largest_magnitude_bits(x) >= kInfinityBits) return false;
  std::vector<float> row(x.size());
  for (std::size_t n = 0; n < y.size(); ++n) {
    widen_row(type, weights + n * stride, row);
    y[n] = dot_regular(row, x);
  }
  return true;
}

}  // namespace cortensor::arith
