#include "compute/cpu/dispatch.h"

#include <algorithm>
#include <cstdlib>
#include <string>

namespace cortensor::compute {

Result<const KernelTable*> choose_kernels(std::string_view isa) {
  if (isa.empty()) {
    const char* forced = std::getenv("CORTENSOR_ISA");
    isa = forced == nullptr ? "" : forced;
  }
  const std::vector<const KernelTable*> tables = available_kernels();
  const KernelTable* chosen = isa.empty() ? tables.back() : nullptr;
  std::string here;
  for (const KernelTable* table : tables) {
    if (table->name == isa) chosen = table;
    here += (here.empty() ? "" : ", ") + std::string(table->name);
  }
  if (chosen == nullptr) {
    constexpr std::string_view kNames[] = {"avx2", "avx512", "amx", "neon"};
    const bool known = std::ranges::find(kNames, isa) != std::end(kNames);
    return known ? fail(ErrorKind::unsupported,
                        "instruction set " + std::string(isa) + ": this machine has only " + here)
                 : fail(ErrorKind::invalid_input,
                        "instruction set: expected scalar, avx2, avx512, amx or neon, found '" +
                            std::string(isa) + "'");
  }
  if (Status status = self_test(*chosen); !status)
    return std::move(status).error_context("instruction set " + std::string(chosen->name));
  return chosen;
}

}  // namespace cortensor::compute
