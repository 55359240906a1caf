// The input of products: rows of activations in the forms that the kernels of their weights' types read
// (kernel_table.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "compute/backend.h"
#include "compute/cpu/buffer.h"
#include "compute/cpu/kernel_table.h"

namespace cortensor::compute {

class MatmulInput {
 public:
  explicit MatmulInput(const KernelTable& kernels) : kernels_(kernels) {}

  // From now on: `tokens` rows for these products.
  void begin(std::size_t tokens, std::span<const Product> products);
  // Elements [first, first + count) of a row. `first` is a multiple of the segment's 512, and so is `count`
  // unless the row ends there. Any parts at the same time. False: an element is not finite.
  bool put(std::size_t token, std::size_t first, const float* x, std::size_t count);

  // What a kernel is told of it.
  MatmulArgs args(arith::WeightType type) const;

 private:
  std::int16_t* words() const { return reinterpret_cast<std::int16_t*>(words_.data()); }

  const KernelTable& kernels_;
  std::size_t tokens_ = 0, cols_ = 0, blocks_ = 0;
  bool quantised_ = false, words_wanted_ = false, segmented_ = false;
  Buffer tiles_{0}, words_{0}, segments_{0};
};

}  // namespace cortensor::compute
