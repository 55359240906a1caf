// y = W x for one token, by the rule that belongs to the weight type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "arith/dot.h"

namespace cortensor::arith {

// Spec: A5, A6. weights: y.size() rows of row_bytes(type, x.size()) bytes; x.size() is
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
  if (largest_magnitude_bits(x) >= kInfinityBits) return false;
  std::vector<float> row(x.size());
  for (std::size_t n = 0; n < y.size(); ++n) {
    widen_row(type, weights + n * stride, row);
    y[n] = dot_regular(row, x);
  }
  return true;
}

}  // namespace cortensor::arith
