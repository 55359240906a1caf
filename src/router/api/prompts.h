// Prompts as the completion and embedding APIs take them: text, or tokens as the client made them, one or
// many.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/generation.h"
#include "router/api/body_reader.h"
#include "router/core/catalogue.h"

namespace cortensor::router {

using Prompt = std::variant<std::string, std::vector<TokenId>>;

// A string, a list of strings, a list of tokens, or a list of such lists; at most `most` prompts, at least
// one.
std::vector<Prompt> read_prompts(BodyReader& body, const std::string& name, std::size_t most);

// Text of so many bytes cannot fit the model's context, and is not worth being cut into tokens.
std::optional<Error> too_long(std::size_t bytes, const ServedModel& model);

// The tokens of each prompt: none empty, all of the vocabulary. `name`: the field they came from.
Parsed<std::vector<std::vector<TokenId>>> encode_prompts(const std::vector<Prompt>& prompts,
                                                         const std::string& name, const ServedModel& model);

}  // namespace cortensor::router
