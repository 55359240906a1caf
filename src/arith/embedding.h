// The embedding of a text: the direction of the sum of its final states.
#pragma once

#include <cmath>
#include <cstddef>
#include <span>

namespace cortensor::arith {

// Spec: A18.1. Adds the final state of the next position; sums begin as +0. Both: [dim].
inline void add_state(std::span<double> sums, std::span<const float> state) {
  for (std::size_t i = 0; i < sums.size(); ++i) sums[i] = sums[i] + static_cast<double>(state[i]);
}

// Spec: A18.2. The first out.size() sums, scaled to length 1. False: they are all zero.
[[nodiscard]] inline bool direction_of(std::span<const double> sums, std::span<float> out) {
  double squares = 0.0;
  for (std::size_t i = 0; i < out.size(); ++i) squares = std::fma(sums[i], sums[i], squares);
  const double length = std::sqrt(squares);
  if (length == 0.0) return false;
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(sums[i] / length);
  return true;
}

}  // namespace cortensor::arith
