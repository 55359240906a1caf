// JSON schemas as grammars: an answer that follows the grammar is a value that the schema accepts.
// Spec: docs/spec/grammar.md, G5
#pragma once

#include <string>

#include "base/result.h"
#include "router/api/body_reader.h"

namespace cortensor::router {

// Any JSON object.
std::string json_grammar();

// unsupported names the keyword that we do not do and where it stands; invalid_input what is no schema.
Result<std::string> schema_grammar(const Json& schema);

}  // namespace cortensor::router
