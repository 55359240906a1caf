// The token list of a model file: what each token stands for, and which tokens a text can contain.
// Spec: tokenizer.md
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/generation.h"
#include "base/result.h"
#include "engine/flat_index.h"
#include "engine/gguf_file.h"

namespace cortensor::engine {

enum class TokenizerFamily : std::uint8_t {
  byte_level,  // "gpt2": texts in the file are spelled in GPT-2's alphabet of 256 visible characters
  scored,      // "llama": texts are UTF-8 with U+2581 for a space; single bytes are spelled <0x00>
};

enum class TokenKind : std::uint8_t {
  normal = 1,
  unknown = 2,
  control = 3,
  user_defined = 4,
  unused = 5,
  byte = 6
};

class Vocabulary {
 public:
  static Result<Vocabulary> from_gguf(const GgufFile& file, TokenizerFamily family);

  std::uint32_t size() const { return static_cast<std::uint32_t>(kinds_.size()); }
  TokenKind kind(TokenId id) const { return kinds_[id]; }
  // The bytes it stands for; for a control token its name.
  std::string_view bytes(TokenId id) const {
    return {arena_.data() + offsets_[id], offsets_[id + 1] - offsets_[id]};
  }
  // Normal tokens only, so that no plain text becomes a control token.
  std::optional<TokenId> find(std::string_view bytes) const;
  // The token of a single byte; every byte has one.
  TokenId byte_token(std::uint8_t byte) const { return byte_tokens_[byte]; }

  // The longest control or user-defined token at `at`; user-defined ones only unless `control`.
  std::optional<TokenId> special_at(std::string_view text, std::size_t at, bool control) const;
  std::optional<TokenId> find_control(std::string_view name) const;

 private:
  Status set_byte_tokens(TokenizerFamily family);
  auto stands_for(std::string_view wanted) const {
    return [this, wanted](TokenId id) { return bytes(id) == wanted; };
  }

  std::vector<char> arena_;           // a vector, because its bytes stay where they are when the object moves
  std::vector<std::size_t> offsets_;  // size() + 1
  std::vector<TokenKind> kinds_;
  FlatIndex normal_;  // ids of normal tokens by their bytes
  std::unordered_map<std::string_view, TokenId> special_;
  std::vector<std::size_t> special_lengths_;  // distinct, longest first
  std::array<bool, 256> special_begins_{};    // first bytes of special tokens
  std::array<TokenId, 256> byte_tokens_{};
};

}  // namespace cortensor::engine
