// The exponential of A7 over many values.
#pragma once

#include <span>

namespace cortensor::engine {

// out_i = exp(RN(x_i / divisor)), of the same length.
void exp_of_quotients(std::span<const float> x, float divisor, std::span<float> out);

}  // namespace cortensor::engine
