#include "engine/token_trie.h"

#include <algorithm>

namespace cortensor::engine {

TokenTrie::TokenTrie(const Tokenizer& tokenizer) : vocab_size(tokenizer.vocab_size()) {
  for (TokenId id = 0; id < vocab_size; ++id)
    if (!tokenizer.token_bytes(id).empty()) ids.push_back(id);
  std::sort(ids.begin(), ids.end(), [&](TokenId a, TokenId b) {
    const std::string_view x = tokenizer.token_bytes(a), y = tokenizer.token_bytes(b);
    return x != y ? x < y : a < b;
  });
  std::vector<std::uint32_t> open;  // the nodes that lead to the token before
  const auto close_to = [&](std::size_t depth) {
    for (; open.size() > depth; open.pop_back())
      nodes[open.back()].end = static_cast<std::uint32_t>(nodes.size());
  };
  std::string_view before;
  for (std::uint32_t i = 0; i < ids.size(); ++i) {
    const std::string_view bytes = tokenizer.token_bytes(ids[i]);
    const auto common = static_cast<std::size_t>(
        std::mismatch(bytes.begin(), bytes.end(), before.begin(), before.end()).first - bytes.begin());
    close_to(common);
    for (std::size_t depth = common; depth < bytes.size(); ++depth) {
      open.push_back(static_cast<std::uint32_t>(nodes.size()));
      nodes.push_back({0, i, static_cast<std::uint8_t>(bytes[depth])});
    }
    before = bytes;
  }
  close_to(0);
  nodes.push_back({0, static_cast<std::uint32_t>(ids.size()), 0});
}

}  // namespace cortensor::engine
