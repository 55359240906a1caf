// The pre-split of Llama 3's tokenizer: words, numbers, punctuation and spaces are encoded apart.   Spec:
// tokenizer.md
//
// The same pieces as the regular expression
//   (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|
//   ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
// in time linear in the text.
#pragma once

#include <cstddef>
#include <string_view>

namespace cortensor::engine {

// Length of the piece that begins at `at`, which is inside the text; at least 1.
std::size_t llama3_piece(std::string_view text, std::size_t at);

}  // namespace cortensor::engine
