#include "engine/chat_template.h"

#include <algorithm>

#include "crypto/sha256.h"
#include "engine/unicode.h"

namespace cortensor::engine {
namespace {

constexpr std::string_view kRoles[] = {"system", "user", "assistant"};

// Without white space (as of Unicode) at both ends, like the template's `trim`.
std::string_view trimmed(std::string_view text) {
  std::size_t begin = text.size(), end = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Sequence sequence = utf8_at(text, at);
    const bool space = sequence.kind == Utf8Kind::whole && class_of(sequence.code) == CodeClass::space;
    if (!space) begin = std::min(begin, at);
    at += sequence.length;
    if (!space) end = at;
  }
  return begin < end ? text.substr(begin, end - begin) : std::string_view();
}

}  // namespace

ChatTemplate ChatTemplate::from_gguf(const GgufFile& file, const Tokenizer& tokenizer) {
  ChatTemplate chat(tokenizer);
  const auto text = file.get_string("tokenizer.chat_template");
  chat.digest_ = crypto::sha256(bytes_of(text ? *text : std::string_view()));
  if (!text) {
    chat.unknown_ = "the model has no chat template: it completes text only";
    return chat;
  }
  const auto start_header = tokenizer.control_token("<|start_header_id|>");
  const auto end_header = tokenizer.control_token("<|end_header_id|>");
  const auto eot = tokenizer.control_token("<|eot_id|>");
  const bool llama3 = text->find("<|start_header_id|>") != std::string_view::npos &&
                      text->find("<|eot_id|>") != std::string_view::npos;
  if (!llama3 || !tokenizer.bos() || !start_header || !end_header || !eot) {
    chat.unknown_ = "the model's chat template is not the one of Llama 3";
    return chat;
  }
  chat.bos_ = *tokenizer.bos();
  chat.start_header_ = *start_header;
  chat.end_header_ = *end_header;
  chat.eot_ = *eot;
  return chat;
}

Result<std::vector<TokenId>> ChatTemplate::render(std::span<const ChatMessage> messages) const {
  if (!known()) return fail(ErrorKind::unsupported, unknown_);
  if (messages.empty()) return fail(ErrorKind::invalid_input, "messages: expected at least one, found none");
  std::vector<TokenId> tokens{bos_};
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (std::find(std::begin(kRoles), std::end(kRoles), messages[i].role) == std::end(kRoles))
      return fail(ErrorKind::invalid_input,
                  "messages[" + std::to_string(i) + "].role: expected system, user or assistant");
    append_message_begin(messages[i].role, trimmed(messages[i].content), tokens);
    tokens.push_back(eot_);
  }
  append_message_begin("assistant", {}, tokens);
  return tokens;
}

void ChatTemplate::append_message_begin(std::string_view role, std::string_view content,
                                        std::vector<TokenId>& out) const {
  const auto append = [&](std::string_view text) {
    const std::vector<TokenId> tokens = tokenizer_->encode(text);
    out.insert(out.end(), tokens.begin(), tokens.end());
  };
  out.push_back(start_header_);
  append(role);
  out.push_back(end_header_);
  // In one piece, as the tokenizer would see them in the template's output.
  append("\n\n" + std::string(content));
}

}  // namespace cortensor::engine
