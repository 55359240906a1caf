// What the processor and the operating system offer.
#include "compute/cpu/dispatch.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace cortensor::compute {

#if defined(__x86_64__)

namespace {

struct Cpu {
  bool avx2 = false;
  bool avx512 = false;
  bool amx = false;
};

// A process has to ask for the state of the tiles, once.
bool may_use_tiles() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  static const bool granted = ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return granted;
}

// Instructions count only if the operating system saves the registers they use (XCR0).
Cpu detect() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return {};
  const bool osxsave = c & bit_OSXSAVE, fma = c & bit_FMA, f16c = c & bit_F16C, avx = c & bit_AVX;
  if (!osxsave || !avx) return {};
  std::uint32_t low = 0, high = 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  constexpr std::uint32_t kYmm = 0x6, kZmm = 0xe6, kTiles = 0x60000;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return {};

  Cpu cpu;
  cpu.avx2 = (low & kYmm) == kYmm && fma && f16c && (b & bit_AVX2);
  cpu.avx512 = cpu.avx2 && (low & kZmm) == kZmm && (b & bit_AVX512F) && (b & bit_AVX512BW) &&
               (b & bit_AVX512DQ) && (b & bit_AVX512VL) && (c & bit_AVX512VNNI);
  constexpr unsigned kAmxTile = 1u << 24, kAmxInt8 = 1u << 25;
  cpu.amx = cpu.avx512 && (low & kTiles) == kTiles && (d & kAmxTile) && (d & kAmxInt8) && may_use_tiles();
  return cpu;
}

}  // namespace

std::vector<const KernelTable*> available_kernels() {
  const Cpu cpu = detect();
  std::vector<const KernelTable*> tables{scalar_kernels()};
  if (cpu.avx2) tables.push_back(avx2_kernels());
  if (cpu.avx512) tables.push_back(avx512_kernels());
  if (cpu.amx) tables.push_back(amx_kernels());
  return tables;
}

#elif defined(__aarch64__)

std::vector<const KernelTable*> available_kernels() {
  constexpr unsigned long kDotProduct = 1ul << 20;  // HWCAP_ASIMDDP
  if ((::getauxval(AT_HWCAP) & kDotProduct) == 0) return {scalar_kernels()};
  return {scalar_kernels(), neon_kernels()};
}

#else

std::vector<const KernelTable*> available_kernels() {
  return {scalar_kernels()};
}

#endif

}  // namespace cortensor::compute
