// Which tokens may come next in an answer that has to follow a grammar.   Spec: grammar.md
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/generation.h"
#include "base/result.h"
#include "engine/grammar_matcher.h"
#include "engine/token_trie.h"
#include "engine/tokenizer.h"

namespace cortensor::engine {

// Whether a text is a grammar that an answer can follow.
Status check_grammar(std::string_view text);

// The position of one answer in its grammar. One thread at a time.
class Constraint {
 public:
  // `tokenizer` must outlive it.
  static Result<Constraint> create(const GenerationRequest& request, const Tokenizer& tokenizer,
                                   std::shared_ptr<const TokenTrie> trie);

  // The answer's next token, whether it was allowed or not: after one that was not, nothing is.
  void feed(TokenId token);
  std::size_t fed() const { return fed_; }

  // The tokens that may come next; perhaps none. unsupported: to find them takes more than the limit.
  Result<std::shared_ptr<const TokenMask>> allowed();

 private:
  Constraint(GrammarMatcher matcher, std::vector<TokenId> stop_tokens, const Tokenizer& tokenizer,
             std::shared_ptr<const TokenTrie> trie);
  void make_room(std::vector<GrammarMatcher::State>& path);

  GrammarMatcher matcher_;
  GrammarMatcher::State state_;
  std::vector<TokenId> stop_tokens_;
  const Tokenizer* tokenizer_;
  std::shared_ptr<const TokenTrie> trie_;
  std::size_t fed_ = 0;
  std::unordered_map<GrammarMatcher::State, std::shared_ptr<const TokenMask>> masks_;
};

}  // namespace cortensor::engine
