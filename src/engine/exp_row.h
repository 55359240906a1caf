// The exponential of A7 over many values.
#pragma once

#include <span>

namespace cortensor::engine {

// x_i = exp(RN(x_i / divisor)).
void exp_of_quotients(std::span<float> x, float divisor);

}  // namespace cortensor::engine
