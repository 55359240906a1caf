// Turns a conversation into the prompt a chat model was trained on.   Spec: tokenizer.md
//
// Templates are recognised, not executed: a model file's template must be one we know. Contents are always
// encoded as plain text, so no message can forge a role or an end of turn.
#pragma once

#include <span>
#include <string>
#include <string_view>
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
  // Always succeeds; a model without a template, or with one we do not know, makes render() fail.
  // `tokenizer` must outlive the template.
  static ChatTemplate from_gguf(const GgufFile& file, const Tokenizer& tokenizer);

  bool known() const { return unknown_.empty(); }

  // The prompt up to and including the header of the answer. unsupported: see known(); invalid_input: an
  // unknown role, or no messages.
  Result<std::vector<TokenId>> render(std::span<const ChatMessage> messages) const;

  // SHA-256 of the template's text; of nothing without one.
  const Digest& digest() const { return digest_; }

 private:
  explicit ChatTemplate(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}
  // A message's header and content, without its end.
  void append_message_begin(std::string_view role, std::string_view content, std::vector<TokenId>& out) const;

  const Tokenizer* tokenizer_;
  TokenId bos_ = 0;
  TokenId start_header_ = 0;
  TokenId end_header_ = 0;
  TokenId eot_ = 0;
  std::string unknown_;  // why the template can not be used
  Digest digest_{};
};

}  // namespace cortensor::engine
