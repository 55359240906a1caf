// The text of a grammar as a tree.   Spec: grammar.md
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace cortensor::engine {

// An inclusive range of code points.
struct CodePoints {
  std::uint32_t low = 0, high = 0;
};

struct GrammarExpr {
  enum class Kind : std::uint8_t { text, characters, rule, sequence, choice, repeat };
  static constexpr std::uint32_t kUnbounded = std::numeric_limits<std::uint32_t>::max();

  Kind kind = Kind::sequence;
  std::string text;                    // text: its bytes
  std::vector<CodePoints> characters;  // characters: rising, disjoint, no surrogates
  std::uint32_t rule = 0;              // rule: its index
  std::uint32_t least = 0, most = 0;   // repeat
  std::vector<GrammarExpr> parts;      // sequence, choice; repeat: the one that is repeated
};

struct GrammarRule {
  std::string name;
  std::size_t line = 0;
  bool defined = false;
  GrammarExpr body;
};

struct GrammarSyntax {
  std::vector<GrammarRule> rules;
  std::uint32_t root = 0;
};

Result<GrammarSyntax> parse_grammar(std::string_view text);

}  // namespace cortensor::engine
