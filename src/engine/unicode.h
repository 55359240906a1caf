// UTF-8 and the classes of code points that the tokenizer distinguishes.   Spec: tokenizer.md
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace cortensor::engine {

enum class Utf8Kind : std::uint8_t {
  whole,       // a valid sequence
  incomplete,  // the text ends inside what may become one
  broken,      // bytes that no continuation can make valid
};

struct Utf8Sequence {
  Utf8Kind kind = Utf8Kind::broken;
  std::uint8_t length = 1;  // bytes; of a broken one: the longest part that could have begun a valid sequence
  std::uint32_t code = 0;   // of a whole one
};

// The sequence at `at`, which is inside the text. Overlong forms, surrogates and codes past U+10FFFF are
// broken.
Utf8Sequence utf8_at(std::string_view text, std::size_t at);

enum class CodeClass : std::uint8_t { other, letter, number, space };

CodeClass class_of(std::uint32_t code);

}  // namespace cortensor::engine
