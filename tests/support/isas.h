// The instruction sets that there are kernels for in a build for this processor's family, as test parameters.
// A test says so where the processor lacks one.
#pragma once

namespace cortensor::test {

#if defined(__aarch64__)
inline constexpr const char* kIsas[] = {"scalar", "neon"};
inline constexpr const char* kForeignIsa = "avx2";
#else
inline constexpr const char* kIsas[] = {"scalar", "avx2", "avx512", "amx"};
inline constexpr const char* kForeignIsa = "neon";
#endif

}  // namespace cortensor::test
