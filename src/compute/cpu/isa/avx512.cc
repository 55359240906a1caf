#include "compute/cpu/kernel_table.h"
#include "compute/cpu/lanes/avx512_segments.h"
// The algorithms, over the lanes above.
#include "compute/cpu/generic/kernels.inc"

namespace cortensor::compute {

const KernelTable* avx512_kernels() {
  static constexpr KernelTable kTable = make_table("avx512");
  return &kTable;
}

}  // namespace cortensor::compute
