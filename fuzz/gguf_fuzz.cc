// Any bytes as a model file: opened or refused, and what is opened can be used in every way without harm.
#include <array>
#include <cstdlib>

#include "engine/chat_template.h"
#include "engine/gguf_file.h"
#include "engine/tokenizer.h"

using namespace cortensor;
using namespace cortensor::engine;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes(data, size);
  const auto file = GgufFile::parse(bytes);
  if (!file) return 0;
  for (const TensorInfo& tensor : file->tensors()) {
    if (tensor.data.data() < data || tensor.data.data() + tensor.data.size() > data + size) std::abort();
    if (tensor.row_bytes() * tensor.rows() != tensor.data.size()) std::abort();
    (void)check_weights(tensor);
  }
  for (const auto& [key, value] : file->metadata()) {
    (void)file->get_u32(key);
    (void)file->get_f32(key);
    (void)file->get_string(key);
    (void)file->get_strings(key);
    (void)file->get_i32s(key);
    (void)file->get_f32s(key);
  }
  const auto tokenizer = Tokenizer::from_gguf(*file);
  if (!tokenizer) return 0;
  const std::string text = "Once upon a time, it's 2024!\n\n  caf\xc3\xa9 <|eot_id|> <s>";
  if (tokenizer->decode(tokenizer->encode(text)) != text) std::abort();
  for (const TokenId id : tokenizer->encode(text, {.special = true}))
    if (id >= tokenizer->vocab_size()) std::abort();
  const std::array<ChatMessage, 1> messages{ChatMessage{"user", text}};
  (void)ChatTemplate::from_gguf(*file, *tokenizer).render(messages);
  return 0;
}
