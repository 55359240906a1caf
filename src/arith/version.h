// The version of the arithmetic: it changes when any bit of any answer may change, and every receipt carries
// it.
#pragma once

#include <cstdint>

namespace cortensor::arith {

// Spec: A1
inline constexpr std::uint32_t kArithmeticVersion = 2;

}  // namespace cortensor::arith
