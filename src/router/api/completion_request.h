// /v1/chat/completions and /v1/completions: from a request's JSON to what the network is asked to compute.
// Spec: docs/spec/http-api.md, 2
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/generation.h"
#include "engine/chat_template.h"
#include "router/api/body_reader.h"
#include "router/api/prompts.h"
#include "router/api/queueing.h"
#include "router/core/catalogue.h"

namespace cortensor::router {

inline constexpr std::int64_t kMaxChoices = 8;  // n
inline constexpr std::size_t kMaxBatch = 64;    // prompts, and choices over all of them
inline constexpr std::uint32_t kDefaultMaxTokens = 512;

struct CompletionCall {
  bool chat = false;
  std::string model;
  std::string session;                        // empty: not named in the body
  std::vector<engine::ChatMessage> messages;  // chat
  std::vector<Prompt> prompts;                // completion, at least one
  Sampling sampling;                          // the seed included; drawn when the client named none
  bool seed_named = false;
  std::optional<std::uint32_t> max_tokens;
  std::string max_tokens_param;  // which of its two names the client used
  std::vector<std::string> stop;
  std::uint32_t n = 1;
  bool logprobs = false;
  std::uint32_t top_logprobs = 0;
  std::string grammar;        // what the answer has to follow; empty: nothing
  std::string grammar_param;  // the field that asked for it
  bool stream = false;
  bool include_usage = false;
  Urgency urgency;
};

// Checks types and ranges; what we do not do is refused by name, what nobody knows is ignored.
Parsed<CompletionCall> parse_chat(std::string_view body);
Parsed<CompletionCall> parse_completion(std::string_view body);

// One request per choice: all choices of the first prompt, then of the next. Choice i has seed + i. Refuses
// what does not fit the model's context.
Parsed<std::vector<GenerationRequest>> make_requests(const CompletionCall& call, const ServedModel& model);

}  // namespace cortensor::router
