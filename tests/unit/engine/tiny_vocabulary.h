// Small vocabularies, made up, as the model files that carry them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/gguf_writer.h"

namespace cortensor::engine {

// The character of GPT-2's alphabet that stands for a byte.
inline std::string alphabet(std::uint8_t byte) {
  const auto visible = [](unsigned b) {
    return (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
  };
  unsigned code = byte;
  if (!visible(byte)) {
    code = 0x100;
    for (unsigned b = 0; b < byte; ++b) code += visible(b) ? 0 : 1;
  }
  if (code < 0x80) return {static_cast<char>(code)};
  return {static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 0x3f))};
}

inline std::string alphabet(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) text += alphabet(static_cast<std::uint8_t>(byte));
  return text;
}

// Byte-level: the 256 bytes (token id = byte), then what each merge makes, then `whole` tokens without
// merges, then the control tokens of Llama 3.
struct ByteLevelVocabulary {
  std::vector<std::pair<std::string, std::string>> merges = {};  // best first
  std::vector<std::string> whole = {};
  std::string chat_template = "{{ '<|start_header_id|>' + role + '<|eot_id|>' }}";

  std::optional<std::uint32_t> eos_in_file = {};  // instead of eos()

  std::vector<std::string> tokens() const {
    std::vector<std::string> tokens;
    for (unsigned byte = 0; byte < 256; ++byte) tokens.push_back(alphabet(static_cast<std::uint8_t>(byte)));
    for (const auto& [left, right] : merges) tokens.push_back(alphabet(left + right));
    for (const auto& text : whole) tokens.push_back(alphabet(text));
    return tokens;
  }
  std::uint32_t first_control() const {
    return static_cast<std::uint32_t>(256 + merges.size() + whole.size());
  }
  std::uint32_t bos() const { return first_control(); }
  std::uint32_t eos() const { return first_control() + 1; }
  std::uint32_t start_header() const { return first_control() + 2; }
  std::uint32_t end_header() const { return first_control() + 3; }
  std::uint32_t eot() const { return first_control() + 4; }

  Bytes file() const {
    std::vector<std::string> texts = tokens();
    std::vector<std::int32_t> types(texts.size(), 1);
    for (const char* name :
         {"<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"}) {
      texts.push_back(name);
      types.push_back(3);
    }
    std::vector<std::string> lines;
    for (const auto& [left, right] : merges) lines.push_back(alphabet(left) + " " + alphabet(right));
    GgufWriter writer;
    writer.add_string("tokenizer.ggml.model", "gpt2");
    writer.add_string("tokenizer.ggml.pre", "llama-bpe");
    writer.add_strings("tokenizer.ggml.tokens", texts);
    writer.add_i32s("tokenizer.ggml.token_type", types);
    writer.add_strings("tokenizer.ggml.merges", lines);
    writer.add_u32("tokenizer.ggml.bos_token_id", bos());
    writer.add_u32("tokenizer.ggml.eos_token_id", eos_in_file.value_or(eos()));
    if (!chat_template.empty()) writer.add_string("tokenizer.chat_template", chat_template);
    return writer.to_bytes({});
  }
};

// Scored: <unk>, <s>, </s>, the 256 bytes from id 3 on, then `pieces` (with spaces for U+2581) from id 259
// on.
struct ScoredVocabulary {
  std::vector<std::pair<std::string, float>> pieces;

  Bytes file() const {
    std::vector<std::string> texts{"<unk>", "<s>", "</s>"};
    std::vector<std::int32_t> types{2, 3, 3};
    std::vector<float> scores(259, 0.0f);
    for (unsigned byte = 0; byte < 256; ++byte) {
      constexpr char kDigits[] = "0123456789ABCDEF";
      texts.push_back(std::string("<0x") + kDigits[byte >> 4] + kDigits[byte & 15] + ">");
      types.push_back(6);
    }
    for (const auto& [piece, score] : pieces) {
      std::string spelled;
      for (const char c : piece) spelled += c == ' ' ? "\xe2\x96\x81" : std::string(1, c);
      texts.push_back(spelled);
      types.push_back(1);
      scores.push_back(score);
    }
    GgufWriter writer;
    writer.add_string("tokenizer.ggml.model", "llama");
    writer.add_strings("tokenizer.ggml.tokens", texts);
    writer.add_i32s("tokenizer.ggml.token_type", types);
    writer.add_f32s("tokenizer.ggml.scores", scores);
    writer.add_u32("tokenizer.ggml.bos_token_id", 1);
    writer.add_u32("tokenizer.ggml.eos_token_id", 2);
    return writer.to_bytes({});
  }
};

}  // namespace cortensor::engine
