// Root-mean-square normalisation: 512 running sums, then one tree.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <span>

namespace cortensor::arith {

inline constexpr std::size_t kNormLanes = 512;

// Spec: A9.1
inline float sum_of_squares(std::span<const float> x) {
  std::array<float, kNormLanes> s{};
  for (std::size_t i = 0; i < x.size(); ++i) {
    float& lane = s[i % kNormLanes];
    lane = std::fma(x[i], x[i], lane);
  }
  for (std::size_t half = kNormLanes / 2; half >= 1; half /= 2)
    for (std::size_t j = 0; j < half; ++j) s[j] = s[j] + s[j + half];
  return s[0];
}

// Spec: A9.2. x, weight, y: [dim]; y may be x.
inline void rmsnorm(std::span<const float> x, std::span<const float> weight, float epsilon,
                    std::span<float> y) {
  const float mean = sum_of_squares(x) / static_cast<float>(x.size());
  const float shifted = mean + epsilon;
  const float root = std::sqrt(shifted);
  const float inverse = 1.0f / root;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float normalised = x[i] * inverse;
    y[i] = normalised * weight[i];
  }
}

}  // namespace cortensor::arith
