// The instruction sets that there are kernels for in a build for this processor's family, and those of them
// that this machine can run, as test parameters. What it lacks is said by Isas.AreAllOnThisMachine.
#pragma once

#include <vector>

#include "compute/cpu/dispatch.h"

namespace cortensor::test {

#if defined(__aarch64__)
inline constexpr const char* kIsas[] = {"scalar", "neon"};
inline constexpr const char* kForeignIsa = "avx2";
#else
inline constexpr const char* kIsas[] = {"scalar", "avx2", "avx512", "amx"};
inline constexpr const char* kForeignIsa = "neon";
#endif

inline std::vector<const char*> isas_here() {
  std::vector<const char*> names;
  for (const auto* table : compute::available_kernels()) names.push_back(table->name);
  return names;
}

}  // namespace cortensor::test
