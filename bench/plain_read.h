// The ceiling of a memory-bound kernel: reading the bytes and nothing else, with the widest loads the machine
// has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace cortensor::bench {

// Reads `size` bytes and returns a value that depends on all of them. isa: "scalar", "avx2", "avx512" or
// "amx".
std::uint64_t plain_read(std::string_view isa, const std::uint8_t* bytes, std::size_t size);

}  // namespace cortensor::bench
