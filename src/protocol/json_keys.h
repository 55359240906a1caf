// A JSON library lets the last of two equal keys win, another one the first: texts that two readers may read
// differently are refused instead.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace cortensor::protocol {

// The first key that some object of the text has twice. What is not JSON has none up to where it breaks.
std::optional<std::string> duplicate_key(std::string_view json);

}  // namespace cortensor::protocol
