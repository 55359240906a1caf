#include "engine/exp_row.h"

#include "arith/exp.h"

namespace cortensor::engine {
namespace {

inline void compute(std::span<float> x, float divisor) {
  for (float& value : x) value = arith::exp(value / divisor);
}

#if defined(__x86_64__)
// The same code where fma is an instruction and not a call; the bits are those of any correct fma.
__attribute__((target("avx2,fma"))) void compute_fma(std::span<float> x, float divisor) {
  compute(x, divisor);
}
#endif

}  // namespace

void exp_of_quotients(std::span<float> x, float divisor) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return compute_fma(x, divisor);
#endif
  compute(x, divisor);
}

}  // namespace cortensor::engine
