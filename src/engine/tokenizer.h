// Text to tokens and back, by the vocabulary in a model file's metadata.   Spec: tokenizer.md
//
// Two families: byte-level BPE with the Llama 3 pre-split ("gpt2", "llama-bpe") and BPE by scores with byte
// fallback ("llama"). Text is any bytes; encoding loses nothing. Immutable after creation, so any thread may
// use it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/generation.h"
#include "base/result.h"
#include "engine/gguf_file.h"

namespace cortensor::engine {

struct EncodeOptions {
  // Whether the names of control tokens in the text stand for those tokens. Never for text from users.
  bool special = false;
};

class Tokenizer {
 public:
  // Copies what it needs; the file may be closed afterwards.
  static Result<Tokenizer> from_gguf(const GgufFile& file);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  // The tokens of `text`, without a begin-of-text token.
  std::vector<TokenId> encode(std::string_view text, EncodeOptions options = {}) const;
  // encode() with the begin-of-text token in front when the model wants one.
  std::vector<TokenId> encode_prompt(std::string_view text, EncodeOptions options = {}) const;

  // The bytes a token stands for: empty for control tokens and ids out of range. Borrowed.
  std::string_view token_bytes(TokenId id) const;
  // The bytes of all tokens; the space that encode() puts before the text of some families is taken off
  // again.
  std::string decode(std::span<const TokenId> tokens) const;

  std::uint32_t vocab_size() const;
  bool is_control(TokenId id) const;
  // The control token of that name, for example "<|eot_id|>".
  std::optional<TokenId> control_token(std::string_view name) const;

  std::optional<TokenId> bos() const;
  std::optional<TokenId> eos() const;  // end of text
  std::optional<TokenId> eot() const;  // end of turn
  bool adds_bos() const;               // the model expects texts to begin with bos()
  bool adds_space() const;             // encode() puts a space before the text
  // The tokens that end an answer: end of text, of turn, of message; ascending, distinct.
  std::span<const TokenId> stop_tokens() const;

  // SHA-256 over everything that decides encoding and decoding.
  const Digest& digest() const;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

}  // namespace cortensor::engine
