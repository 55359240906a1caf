#include "engine/exp_row.h"

#include <cstddef>

#include "arith/exp.h"

namespace cortensor::engine {
namespace {

inline void compute(const float* x, float divisor, std::size_t count, float* out) {
  for (std::size_t i = 0; i < count; ++i) {
    const float quotient = x[i] / divisor;
    out[i] = arith::exp(quotient);
  }
}

#if defined(__x86_64__)
// The same code where fma is an instruction and not a call; the bits are those of any correct fma.
__attribute__((target("fma"))) void compute_fma(const float* x, float divisor, std::size_t count,
                                                float* out) {
  compute(x, divisor, count, out);
}
#endif

}  // namespace

void exp_of_quotients(std::span<const float> x, float divisor, std::span<float> out) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("fma")) return compute_fma(x.data(), divisor, x.size(), out.data());
#endif
  compute(x.data(), divisor, x.size(), out.data());
}

}  // namespace cortensor::engine
