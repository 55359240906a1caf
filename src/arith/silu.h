// The gate of the feed-forward part.
#pragma once

#include "arith/exp.h"

namespace cortensor::arith {

// Spec: A8.1
inline float silu(float x) {
  if (x < -88.0f) return -0.0f;
  const float denominator = 1.0f + exp(-x);
  return x / denominator;
}

// Spec: A8.2
inline float swiglu(float gate, float up) {
  const float activated = silu(gate);
  return activated * up;
}

}  // namespace cortensor::arith
