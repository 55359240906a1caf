// Sines and cosines of every position of a context, made once per model (A10).
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "arith/rope.h"

namespace cortensor::compute {

class RopeTable {
 public:
  // rotary: elements of a head that rotate, even. factors: per pair divisors of the frequencies, or empty for
  // none.
  RopeTable(std::size_t rotary, double base, std::span<const float> factors, std::size_t positions)
      : pairs_(rotary / 2), entries_(pairs_ * positions) {
    for (std::size_t i = 0; i < pairs_; ++i) {
      const double frequency = arith::rope_frequency(base, rotary, i, factors.empty() ? 1.0f : factors[i]);
      for (std::size_t p = 0; p < positions; ++p) entries_[p * pairs_ + i] = arith::rope_entry(p, frequency);
    }
  }
  std::size_t rotary() const { return 2 * pairs_; }
  std::size_t positions() const { return pairs_ == 0 ? 0 : entries_.size() / pairs_; }
  std::span<const arith::SinCos> at(std::size_t position) const {
    return {entries_.data() + position * pairs_, pairs_};
  }

 private:
  std::size_t pairs_;
  std::vector<arith::SinCos> entries_;  // [positions, pairs]
};

}  // namespace cortensor::compute
