// What a generation is, in the words that engine and protocol share: the request that decides every bit of an
// answer, and the steps that make up its transcript.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"

namespace cortensor {

using TokenId = std::uint32_t;
using Digest = Bytes32;  // SHA-256

// What a client adds to a token's logit.
struct LogitBias {
  TokenId token = 0;
  float bias = 0.0f;  // -100 to 100
  friend bool operator==(const LogitBias&, const LogitBias&) = default;
};

// How logits become a token. temperature 0 means greedy. Any node can go on from any position: a choice
// depends on the logits, the tokens so far, and the seed with the absolute position alone.
struct Sampling {
  float temperature = 0.0f;  // finite, >= 0
  float top_p = 1.0f;        // (0, 1]; 1 keeps all
  float min_p = 0.0f;        // [0, 1); 0 keeps all
  std::uint32_t top_k = 0;   // 0 keeps all
  std::uint64_t seed = 0;
  float repetition_penalty = 1.0f;         // above 0, at most 10; of tokens in prompt and answer; 1: none
  float presence_penalty = 0.0f;           // -2 to 2; of tokens in the answer, once
  float frequency_penalty = 0.0f;          // -2 to 2; of tokens in the answer, each time
  std::vector<LogitBias> logit_bias = {};  // by rising token, none twice
  friend bool operator==(const Sampling&, const Sampling&) = default;
};

inline constexpr float kMaxRepetitionPenalty = 10.0f;
inline constexpr float kMaxPenalty = 2.0f;
inline constexpr float kMaxLogitBias = 100.0f;
inline constexpr std::size_t kMaxLogitBiases = 300;

// How much may stop an answer; from OpenAI's API.
inline constexpr std::size_t kMaxStopTokens = 16;
inline constexpr std::size_t kMaxStopStrings = 4;
inline constexpr std::size_t kMaxStopStringBytes = 256;

inline constexpr std::size_t kMaxGrammarBytes = 1 << 16;

// Everything that determines an answer, apart from the model. Two exact nodes given equal requests answer
// equally.
struct GenerationRequest {
  std::vector<TokenId> prompt;  // begin-of-text included; not empty
  Sampling sampling;
  std::uint32_t max_tokens = 0;           // generated tokens at most, >= 1
  std::vector<TokenId> stop_tokens;       // any of them ends the answer; it is the transcript's last token
  std::vector<std::string> stop_strings;  // the answer ends with the token that completes one of them
  std::string grammar = {};  // what the bytes of the answer's tokens have to follow; empty: nothing
  std::uint32_t embedding =
      0;  // elements of the prompt's embedding, wanted instead of an answer; 0: an answer
  friend bool operator==(const GenerationRequest&, const GenerationRequest&) = default;
};

inline constexpr std::uint32_t kMaxEmbedding = 1 << 15;

// What an embedding is asked for with: nothing that could change an answer changes it.
inline GenerationRequest embedding_request(std::vector<TokenId> prompt, std::uint32_t elements) {
  GenerationRequest request;
  request.prompt = std::move(prompt);
  request.max_tokens = 1;  // the one step of its transcript, with token 0. Spec: A18.3
  request.embedding = elements;
  return request;
}
inline constexpr TokenId kEmbeddingToken = 0;

// How many of `steps` transcript positions are tokens of an answer, and paid for as such.
inline std::size_t answer_tokens(const GenerationRequest& request, std::size_t steps) {
  return request.embedding > 0 ? 0 : steps;
}

// One generated position: the token chosen and the digest that commits to the state it was chosen from.
struct Step {
  TokenId token = 0;
  Digest digest{};
  friend bool operator==(const Step&, const Step&) = default;
};

// How likely the model finds a token, before anything of the request changes it. For people: not part of the
// transcript. Spec: A14.8
struct TokenLogprob {
  TokenId token = 0;
  float logprob = 0.0f;
  friend bool operator==(const TokenLogprob&, const TokenLogprob&) = default;
};
struct Logprobs {
  float chosen = 0.0f;
  std::vector<TokenLogprob> top = {};  // the most likely tokens, as many as were asked for
  friend bool operator==(const Logprobs&, const Logprobs&) = default;
};
inline constexpr std::uint32_t kMaxTopLogprobs = 20;

enum class FinishReason : std::uint8_t {
  stop = 0,    // a stop token or a stop string
  length = 1,  // max_tokens, or the context is full
};

constexpr std::string_view to_string(FinishReason reason) {
  return reason == FinishReason::stop ? "stop" : "length";
}

}  // namespace cortensor
