#include "engine/text_stream.h"

#include <algorithm>

#include "engine/unicode.h"

namespace cortensor::engine {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD

}  // namespace

void Utf8Stream::feed(std::string_view bytes, std::string& out) {
  held_ += bytes;
  std::size_t at = 0;
  while (at < held_.size()) {
    const Utf8Sequence sequence = utf8_at(held_, at);
    if (sequence.kind == Utf8Kind::incomplete) break;
    if (sequence.kind == Utf8Kind::whole)
      out.append(held_, at, sequence.length);
    else
      out += kReplacement;
    at += sequence.length;
  }
  held_.erase(0, at);
}

void Utf8Stream::flush(std::string& out) {
  if (!held_.empty()) out += kReplacement;
  held_.clear();
}

StopStrings::StopStrings(const std::vector<std::string>& strings) {
  for (const std::string& text : strings) {
    if (text.empty()) continue;
    Pattern pattern{text, std::vector<std::uint32_t>(text.size(), 0), 0};
    // fallback[i]: the longest proper prefix of the text that ends at byte i.
    for (std::size_t i = 1; i < text.size(); ++i) {
      std::uint32_t length = pattern.fallback[i - 1];
      while (length > 0 && text[i] != text[length]) length = pattern.fallback[length - 1];
      pattern.fallback[i] = length + (text[i] == text[length] ? 1 : 0);
    }
    patterns_.push_back(std::move(pattern));
  }
}

std::optional<StopStrings::Match> StopStrings::feed(std::string_view bytes) {
  if (patterns_.empty()) return std::nullopt;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::size_t longest = 0;
    for (Pattern& pattern : patterns_) {
      while (pattern.matched > 0 && bytes[i] != pattern.text[pattern.matched])
        pattern.matched = pattern.fallback[pattern.matched - 1];
      if (bytes[i] == pattern.text[pattern.matched]) ++pattern.matched;
      if (pattern.matched == pattern.text.size()) longest = std::max(longest, pattern.text.size());
    }
    if (longest > 0) return Match{longest, bytes.size() - i - 1};
  }
  return std::nullopt;
}

std::size_t StopStrings::held() const {
  std::size_t held = 0;
  for (const Pattern& pattern : patterns_) held = std::max<std::size_t>(held, pattern.matched);
  return held;
}

StopMatcher::StopMatcher(const GenerationRequest& request, const Tokenizer& tokenizer,
                         std::uint32_t context_length)
    : tokenizer_(&tokenizer), stop_tokens_(request.stop_tokens), strings_(request.stop_strings) {
  const std::uint64_t prompt = request.prompt.size();
  const std::uint64_t room = prompt < context_length ? context_length - prompt : 0;
  limit_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(room, request.max_tokens));
}

std::optional<FinishReason> StopMatcher::feed(TokenId token) {
  ++fed_;
  if (std::find(stop_tokens_.begin(), stop_tokens_.end(), token) != stop_tokens_.end())
    return FinishReason::stop;
  match_ = strings_.feed(tokenizer_->token_bytes(token));
  if (match_) return FinishReason::stop;
  if (fed_ >= limit_) return FinishReason::length;
  return std::nullopt;
}

TextStream::TextStream(const GenerationRequest& request, const Tokenizer& tokenizer,
                       std::uint32_t context_length)
    : tokenizer_(&tokenizer), stop_(request, tokenizer, context_length) {
  // An answer that begins the text begins with the space that encode() would have put there.
  drop_space_ = tokenizer.adds_space() && std::all_of(request.prompt.begin(), request.prompt.end(),
                                                      [&](TokenId id) { return tokenizer.is_control(id); });
}

TextStream::Piece TextStream::feed(TokenId token) {
  Piece piece;
  piece.finished = stop_.feed(token);
  const bool by_token = piece.finished == FinishReason::stop && !stop_.string_match();
  if (!by_token) pending_ += tokenizer_->token_bytes(token);

  std::size_t certain = pending_.size();
  if (const auto& match = stop_.string_match())
    certain -= std::min(certain, match->length + match->unread);
  else if (!piece.finished)
    certain -= std::min(certain, stop_.held());
  deliver(certain, piece.text);
  if (piece.finished) {
    pending_.clear();
    utf8_.flush(piece.text);
  }
  return piece;
}

std::string TextStream::flush() {
  std::string text;
  deliver(pending_.size(), text);
  utf8_.flush(text);
  return text;
}

void TextStream::deliver(std::size_t count, std::string& out) {
  std::string_view bytes = std::string_view(pending_).substr(0, count);
  if (drop_space_ && !bytes.empty()) {
    if (bytes.front() == ' ') bytes.remove_prefix(1);
    drop_space_ = false;
  }
  utf8_.feed(bytes, out);
  pending_.erase(0, count);
}

}  // namespace cortensor::engine
