// A grammar text compiled into a network of nodes over bytes: what an answer under a constraint may look
// like. Spec: grammar.md
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/generation.h"
#include "base/result.h"

namespace cortensor::engine {

// Beyond these a text is refused; kMaxGrammarBytes is in base/generation.h.
inline constexpr std::size_t kMaxGrammarRules = 2048;
inline constexpr std::size_t kMaxGrammarNodes = 1 << 16;
inline constexpr std::size_t kMaxGrammarEdges = 1 << 18;  // and as many ways of all splits

// Each rule is a subgraph from its entry to kGrammarEnd, which all rules share.
struct Grammar {
  enum class Kind : std::uint8_t {
    end,    // the rule is done
    read,   // one byte: edges[first, first + count)
    split,  // any of targets[first, first + count), without reading
    call,   // the rule that begins at node `first`, then node `count`
  };
  struct Node {
    Kind kind = Kind::end;
    std::uint32_t first = 0;
    std::uint32_t count = 0;
  };
  struct Edge {
    std::uint8_t low = 0, high = 0;
    std::uint32_t to = 0;
  };
  std::vector<Node> nodes;
  std::vector<Edge> edges;
  std::vector<std::uint32_t> targets;
  std::uint32_t root = 0;
};

inline constexpr std::uint32_t kGrammarEnd = 0;

// invalid_input says the line and what is wrong with it. What compiles can always be finished: every rule in
// use has an end, and none begins with itself.
Result<Grammar> compile_grammar(std::string_view text);

}  // namespace cortensor::engine
