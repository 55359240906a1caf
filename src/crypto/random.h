// Unpredictable bytes from the operating system, for keys, tokens and identifiers. Never for sampling.
#pragma once

#include <string>
#include <string_view>

#include "base/bytes.h"

namespace cortensor::crypto {

void random_bytes(std::span<std::uint8_t> out);
std::uint64_t random_u64();

// prefix + `characters` characters of base64url, six random bits each: "ctk_" and 43 characters carry 258
// bits.
std::string random_token(std::string_view prefix, int characters);

}  // namespace cortensor::crypto
