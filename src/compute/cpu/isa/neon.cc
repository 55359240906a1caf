#include "compute/cpu/kernel_table.h"
#include "compute/cpu/lanes/neon_segments.h"
// The algorithms, over the lanes above.
#include "compute/cpu/generic/kernels.inc"

namespace cortensor::compute {

const KernelTable* neon_kernels() {
  static constexpr KernelTable kTable = make_table("neon");
  return &kTable;
}

}  // namespace cortensor::compute
