// Tokens to the text a client sees, and the rule for when an answer is finished.   Spec: sampling.md
//
// Miner, router and validator use the same StopMatcher, so all of them agree on the last position.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/generation.h"
#include "engine/tokenizer.h"

namespace cortensor::engine {

// Bytes in pieces to valid UTF-8 in pieces. A sequence that may still become whole is held back; bytes that
// can not begin or continue one become U+FFFD, one for each maximal broken part.
class Utf8Stream {
 public:
  // Appends the text that is certain now to `out`.
  void feed(std::string_view bytes, std::string& out);
  // The end: what is held back becomes U+FFFD.
  void flush(std::string& out);

 private:
  std::string held_;  // the beginning of a sequence, at most three bytes
};

// Finds the first place where one of several strings ends in a stream of bytes.
class StopStrings {
 public:
  explicit StopStrings(const std::vector<std::string>& strings);  // empty strings are ignored

  struct Match {
    std::size_t length;  // of the string that ended, the longest if several end at once
    std::size_t unread;  // bytes of the piece after its end
  };
  // Nothing may be fed after a match.
  std::optional<Match> feed(std::string_view bytes);
  // How many of the last bytes may be the beginning of a string.
  std::size_t held() const;

 private:
  struct Pattern {
    std::string text;
    std::vector<std::uint32_t> fallback;  // Knuth-Morris-Pratt
    std::uint32_t matched = 0;
  };
  std::vector<Pattern> patterns_;
};

// Tells after each token whether the answer ends there, and why: a pure function of the request, the model's
// context length and the tokens so far. A stop token or a completed stop string comes before length.
class StopMatcher {
 public:
  // `tokenizer` must outlive the matcher. The context is full when prompt and answer together have
  // `context_length` tokens.
  StopMatcher(const GenerationRequest& request, const Tokenizer& tokenizer, std::uint32_t context_length);

  // The next token of the answer. Nothing may be fed after a reason was given.
  std::optional<FinishReason> feed(TokenId token);

  std::uint32_t fed() const { return fed_; }
  // After a reason was given: the stop string's match in the last token's bytes, if that was the reason.
  const std::optional<StopStrings::Match>& string_match() const { return match_; }
  // How many of the last bytes may be the beginning of a stop string.
  std::size_t held() const { return strings_.held(); }

 private:
  const Tokenizer* tokenizer_;
  std::vector<TokenId> stop_tokens_;
  StopStrings strings_;
  std::optional<StopStrings::Match> match_;
  std::uint32_t limit_ = 0;  // tokens at most
  std::uint32_t fed_ = 0;
};

// The text of an answer, delivered as early as it is certain: whole UTF-8 sequences, never a part of a stop
// string.
class TextStream {
 public:
  TextStream(const GenerationRequest& request, const Tokenizer& tokenizer, std::uint32_t context_length);

  struct Piece {
    std::string text;                      // may be empty
    std::optional<FinishReason> finished;  // nothing may be fed after it is given
  };
  Piece feed(TokenId token);
  // For an answer that breaks off: what was held back.
  std::string flush();

  std::uint32_t tokens() const { return stop_.fed(); }

 private:
  void deliver(std::size_t count, std::string& out);  // the first bytes of pending_

  const Tokenizer* tokenizer_;
  StopMatcher stop_;
  Utf8Stream utf8_;
  std::string pending_;      // bytes that may belong to a stop string
  bool drop_space_ = false;  // the next byte is the tokenizer's own leading space, if it is a space
};

}  // namespace cortensor::engine
