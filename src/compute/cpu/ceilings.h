// What a processor can do at most, to judge kernels by: reading bytes and nothing else, with the widest loads
// there are, and multiplying small integers, or adding products of binary32, in registers and nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace cortensor::compute {

// Reads `size` bytes and returns a value that depends on all of them. isa: as the kernels' names; one that
// has no loads of its own here reads words.
std::uint64_t plain_read(std::string_view isa, const std::uint8_t* bytes, std::size_t size);

// Multiplies and adds 8-bit integers in registers, `rounds` times; returns the number of products. 0: this
// instruction set has no such instruction, or none is known here.
std::uint64_t plain_products(std::string_view isa, std::uint64_t rounds);

// The same of fused multiply-adds of binary32.
std::uint64_t plain_fmas(std::string_view isa, std::uint64_t rounds);

}  // namespace cortensor::compute
