// The vocabulary as a tree of bytes, so that what a grammar allows is found for all tokens in one walk.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/tokenizer.h"

namespace cortensor::engine {

// A set of tokens of a vocabulary.
class TokenMask {
 public:
  explicit TokenMask(std::size_t vocab_size) : words_((vocab_size + 63) / 64) {}
  void add(TokenId token) { words_[token / 64] |= std::uint64_t{1} << token % 64; }
  void remove(TokenId token) { words_[token / 64] &= ~(std::uint64_t{1} << token % 64); }
  bool contains(TokenId token) const { return (words_[token / 64] >> token % 64 & 1) != 0; }
  // Calls visit(token) for each, rising.
  template <class Visit>
  void each(const Visit& visit) const {
    for (std::size_t i = 0; i < words_.size(); ++i)
      for (std::uint64_t word = words_[i]; word != 0; word &= word - 1)
        visit(static_cast<TokenId>(64 * i + static_cast<std::size_t>(__builtin_ctzll(word))));
  }

 private:
  std::vector<std::uint64_t> words_;
};

// Depth first: the children of a node follow it, up to `end`. Tokens without bytes are not in it.
struct TokenTrie {
  struct Node {
    std::uint32_t end = 0;    // index behind the node's subtree
    std::uint32_t first = 0;  // its tokens: ids[first] up to the next node's first
    std::uint8_t byte = 0;
  };
  std::vector<Node> nodes;  // and one more, whose `first` ends the last
  std::vector<TokenId> ids;
  std::size_t vocab_size = 0;

  explicit TokenTrie(const Tokenizer& tokenizer);
};

}  // namespace cortensor::engine
