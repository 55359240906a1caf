// The weight types of a model file. Kernels see this header too, so it holds an enumeration and nothing else.
#pragma once

#include <stdint.h>

namespace cortensor::arith {

// Spec: A2. The values are the type numbers of GGUF, which has none for the native types (A17).
enum class WeightType : uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q2_k = 10,
  q3_k = 11,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  bf16 = 30,
  s4 = 1004,
  s8 = 1008
};

}  // namespace cortensor::arith
