// Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw (2011): random words are a
// function of (counter, key), so there is no state to carry from one node to another.
#pragma once

#include <array>
#include <cstdint>

namespace cortensor::arith {

// Spec: A14.1
inline std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter,
                                           std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xd2511f53u} * counter[0];
    const std::uint64_t b = std::uint64_t{0xcd9e8d57u} * counter[2];
    counter = {static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(b),
               static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(a)};
    key[0] += 0x9e3779b9u;
    key[1] += 0xbb67ae85u;
  }
  return counter;
}

// Spec: A14.1. Uniform in [0, 1), a multiple of 2^-24: the number that chooses the token at `position`.
inline float uniform_at(std::uint64_t seed, std::uint32_t position) {
  const auto words =
      philox({position, 0, 0, 0}, {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
  return static_cast<float>(words[0] >> 8) * 0x1p-24f;
}

}  // namespace cortensor::arith
