// Lower-case hexadecimal, for digests, keys and identifiers.
#pragma once

#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace cortensor {

std::string to_hex(ByteView bytes);

// Fails on an odd length or a character that is not 0-9a-f (upper case is refused: one value, one spelling).
Result<Bytes> from_hex(std::string_view text);

// Fails unless the text is exactly 64 hexadecimal digits.
Result<Bytes32> bytes32_from_hex(std::string_view text);

}  // namespace cortensor
