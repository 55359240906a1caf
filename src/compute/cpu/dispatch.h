// Which kernels this process runs: found out from the processor and the operating system, forced by name, and
// checked against the specification before use.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "compute/cpu/kernel_table.h"

namespace cortensor::compute {

// The tables this machine can run, slowest first; the scalar one is always there. Not self-tested.
std::vector<const KernelTable*> available_kernels();

// `isa` names a table; empty means CORTENSOR_ISA if that is set, else the fastest available one.
// Fails if the name is unknown, the machine lacks the instructions, or the table fails its self-test.
Result<const KernelTable*> choose_kernels(std::string_view isa);

// Runs fixed vectors through every kernel of the table and compares all bits with arith. Fails naming the
// kernel.
Status self_test(const KernelTable& table);

// The table's product with weights of a type.
inline auto kernel_of(const KernelTable& table, arith::WeightType type) {
  if (type == arith::WeightType::s8) return table.matmul_s8;
  if (type == arith::WeightType::s4) return table.matmul_s4;
  return table.matmul[static_cast<std::size_t>(type)];
}

}  // namespace cortensor::compute
