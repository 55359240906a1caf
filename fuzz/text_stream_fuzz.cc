// Any tokens, stop strings and limits: the delivered text is valid UTF-8 and exactly what decoding the whole
// answer at once and cutting it at the first stop string gives; the answer ends where that string ends.
#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "engine/text_stream.h"
#include "engine/unicode.h"
#include "tests/unit/engine/tiny_vocabulary.h"

using namespace cortensor;
using namespace cortensor::engine;

namespace {

constexpr std::uint8_t kSeparator = 0xff;

const Tokenizer& bytes_tokenizer() {
  static const Tokenizer tokenizer = [] {
    const Bytes bytes = ByteLevelVocabulary{.whole = {"aba", "b\xe2\x82", "\xac z"}}.file();
    auto file = GgufFile::parse(bytes);
    auto loaded = file ? Tokenizer::from_gguf(*file) : Result<Tokenizer>(file.error());
    if (!loaded) std::abort();
    return std::move(*loaded);
  }();
  return tokenizer;
}

struct Cut {
  std::size_t begin = std::string::npos;  // of the stop string; npos: there is none
  std::size_t end = std::string::npos;
};

Cut first_to_end(std::string_view text, const std::vector<std::string>& stops) {
  Cut cut;
  for (const std::string& stop : stops) {
    if (stop.empty()) continue;
    const std::size_t begin = text.find(stop);
    if (begin == std::string_view::npos) continue;
    const std::size_t end = begin + stop.size();
    if (end < cut.end || (end == cut.end && begin < cut.begin)) cut = {begin, end};
  }
  return cut;
}

}  // namespace

// The input: up to three stop strings, each ended by a separator, then the answer, a token per byte; 0xfc to
// 0xfe are the tokens of several bytes.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  GenerationRequest request;
  request.prompt = {256};
  request.max_tokens = 1 << 20;
  ByteView rest(data, size);
  for (int i = 0; i < 3; ++i) {
    const auto end = std::find(rest.begin(), rest.end(), kSeparator);
    if (end == rest.end()) return 0;
    request.stop_strings.emplace_back(rest.begin(), end);
    rest = rest.subspan(static_cast<std::size_t>(end - rest.begin()) + 1);
  }

  TextStream stream(request, bytes_tokenizer(), 1 << 21);
  std::string text, answer;
  std::optional<FinishReason> finished;
  std::size_t before_last = 0;
  for (const std::uint8_t byte : rest) {
    const TokenId token = byte >= 0xfc && byte < 0xff ? 256u + (byte - 0xfcu) : byte;
    before_last = answer.size();
    answer += bytes_tokenizer().token_bytes(token);
    const TextStream::Piece piece = stream.feed(token);
    text += piece.text;
    if ((finished = piece.finished)) break;
  }
  if (!finished) text += stream.flush();

  const Cut cut = first_to_end(answer, request.stop_strings);
  if (finished.has_value() != (cut.end != std::string::npos)) std::abort();
  if (finished && cut.end <= before_last) std::abort();
  std::string expected;
  Utf8Stream whole;
  whole.feed(std::string_view(answer).substr(0, cut.begin), expected);
  whole.flush(expected);
  if (text != expected) std::abort();
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Sequence sequence = utf8_at(text, at);
    if (sequence.kind != Utf8Kind::whole) std::abort();
    at += sequence.length;
  }
  return 0;
}
