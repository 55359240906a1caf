// What a generation is, in the words that engine and protocol share: the request that decides every bit of an
// answer, and the steps that make up its transcript.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace cortensor {

using TokenId = std::uint32_t;
using Digest = Bytes32;  // SHA-256

// How logits become a token. temperature 0 means greedy. Any node can go on from any position: the random
// number of a position depends on (seed, absolute position) alone.
struct Sampling {
  float temperature = 0.0f;  // finite, >= 0
  float top_p = 1.0f;        // (0, 1]; 1 keeps all
  float min_p = 0.0f;        // [0, 1); 0 keeps all
  std::uint32_t top_k = 0;   // 0 keeps all
  std::uint64_t seed = 0;
  friend bool operator==(const Sampling&, const Sampling&) = default;
};

// How much may stop an answer; from OpenAI's API.
inline constexpr std::size_t kMaxStopTokens = 16;
inline constexpr std::size_t kMaxStopStrings = 4;
inline constexpr std::size_t kMaxStopStringBytes = 256;

// Everything that determines an answer, apart from the model. Two exact nodes given equal requests answer
// equally.
struct GenerationRequest {
  std::vector<TokenId> prompt;  // begin-of-text included; not empty
  Sampling sampling;
  std::uint32_t max_tokens = 0;           // generated tokens at most, >= 1
  std::vector<TokenId> stop_tokens;       // any of them ends the answer; it is the transcript's last token
  std::vector<std::string> stop_strings;  // the answer ends with the token that completes one of them
  friend bool operator==(const GenerationRequest&, const GenerationRequest&) = default;
};

// One generated position: the token chosen and the digest that commits to the state it was chosen from.
struct Step {
  TokenId token = 0;
  Digest digest{};
  friend bool operator==(const Step&, const Step&) = default;
};

enum class FinishReason : std::uint8_t {
  stop = 0,    // a stop token or a stop string
  length = 1,  // max_tokens, or the context is full
};

constexpr std::string_view to_string(FinishReason reason) {
  return reason == FinishReason::stop ? "stop" : "length";
}

}  // namespace cortensor
