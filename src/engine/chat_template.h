// Turns a conversation into the prompt a chat model was trained on.   Spec: tokenizer.md
//
// Templates are recognised, not executed: a model file's template must be one we know. Contents are always
// encoded as plain text, so no message can forge a role or an end of turn.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/generation.h"
#include "base/result.h"
#include "engine/gguf_file.h"
#include "engine/tokenizer.h"

namespace cortensor::engine {

struct ChatMessage {
  std::string role;  // "system", "user" or "assistant"
  std::string content;
};

class ChatTemplate {
 public:
  // unsupported when the file has no template or one we do not know. `tokenizer` must outlive the template.
  static Result<ChatTemplate> from_gguf(const GgufFile& file, const Tokenizer& tokenizer);

  // The prompt up to and including the header of the answer. invalid_input for an unknown role or no
  // messages.
  Result<std::vector<TokenId>> render(std::span<const ChatMessage> messages) const;

  // SHA-256 of the template's text.
  const Digest& digest() const { return digest_; }

 private:
  ChatTemplate(const Tokenizer& tokenizer, TokenId bos, TokenId start_header, TokenId end_header, TokenId eot)
      : tokenizer_(&tokenizer), bos_(bos), start_header_(start_header), end_header_(end_header), eot_(eot) {}
  void append_header(std::string_view role, std::vector<TokenId>& out) const;

  const Tokenizer* tokenizer_;
  TokenId bos_;
  TokenId start_header_;
  TokenId end_header_;
  TokenId eot_;
  Digest digest_{};
};

}  // namespace cortensor::engine
