#include "compute/cpu/lanes/scalar.h"
#include "compute/cpu/kernel_table.h"
// The algorithms, over the lanes above.
#include "compute/cpu/generic/kernels.inc"

namespace cortensor::compute {

const KernelTable* scalar_kernels() {
  static constexpr KernelTable kTable = make_table("scalar");
  return &kTable;
}

}  // namespace cortensor::compute
