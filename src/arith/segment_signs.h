// Which elements of a segment change their sign before they are rotated. Compiled into kernel objects too, so
// there is nothing but the language in here.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace cortensor::arith {

// Spec: A17.2. Bit i % 32 of word i / 32 belongs to element i: the first 512 binary digits of pi behind the
// point.
inline constexpr uint32_t kSegmentSigns[16] = {
    0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u, 0xa4093822u, 0x299f31d0u, 0x082efa98u, 0xec4e6c89u,
    0x452821e6u, 0x38d01377u, 0xbe5466cfu, 0x34e90c6cu, 0xc0ac29b7u, 0xc97c50ddu, 0x3f84d5b5u, 0xb5470917u};

constexpr bool changes_sign(size_t i) {
  return (kSegmentSigns[i / 32] >> (i % 32) & 1u) != 0;
}

}  // namespace cortensor::arith
