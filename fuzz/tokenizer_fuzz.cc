// Any bytes as text, with both families of tokenizers: the text comes back from its tokens, and plain text
// never becomes a control token.
#include <cstdlib>
#include <string_view>

#include "engine/tokenizer.h"
#include "tests/unit/engine/tiny_vocabulary.h"

using namespace cortensor;
using namespace cortensor::engine;

namespace {

Tokenizer load(const Bytes& bytes) {
  auto file = GgufFile::parse(bytes);
  auto tokenizer = file ? Tokenizer::from_gguf(*file) : Result<Tokenizer>(file.error());
  if (!tokenizer) std::abort();
  return std::move(*tokenizer);
}

void check(const Tokenizer& tokenizer, std::string_view text) {
  const std::vector<TokenId> tokens = tokenizer.encode(text);
  if (tokenizer.decode(tokens) != text) std::abort();
  for (const TokenId id : tokens)
    if (id >= tokenizer.vocab_size() || tokenizer.is_control(id)) std::abort();
  for (const TokenId id : tokenizer.encode(text, {.special = true}))
    if (id >= tokenizer.vocab_size()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Tokenizer byte_level = load(ByteLevelVocabulary{
      .merges =
          {{"a", "b"}, {" ", "a"}, {"a", "a"}, {"ab", "a"}, {"\n", "\n"}, {"\xe2", "\x96"}, {"aa", "aa"}},
      .whole = {" word", "'s", "123"}}.file());
  static const Tokenizer scored = load(ScoredVocabulary{
      {{" ", 0}, {"a", -1}, {"b", -2}, {"ab", -3}, {" a", -2.5f}, {"\xc3\xa9", -4}, {"  ", -5}, {"aa", -1}}}
                                           .file());
  const std::string_view text = text_of({data, size});
  check(byte_level, text);
  check(scored, text);
  return 0;
}
