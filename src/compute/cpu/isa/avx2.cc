#include "compute/cpu/kernel_table.h"
#include "compute/cpu/lanes/avx2_segments.h"
// The algorithms, over the lanes above.
#include "compute/cpu/generic/kernels.inc"

#include "compute/cpu/generic/matmul_wide.inc"

namespace cortensor::compute {

const KernelTable* avx2_kernels() {
  static constexpr KernelTable kTable = [] {
    KernelTable table = make_table("avx2");
    kernel_of(table, WeightType::q8_0) = matmul_bytes_wide;
    table.wants_words[static_cast<size_t>(WeightType::q8_0)] = true;
    return table;
  }();
  return &kTable;
}

}  // namespace cortensor::compute
