// /v1/embeddings: from a request's JSON to what the network is asked to compute.
// Spec: docs/spec/http-api.md, 7
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/generation.h"
#include "router/api/body_reader.h"
#include "router/api/prompts.h"
#include "router/api/queueing.h"
#include "router/core/catalogue.h"

namespace cortensor::router {

inline constexpr std::size_t kMaxInputs = 256;  // each is an answer of its own, with a receipt

struct EmbeddingCall {
  std::string model;
  std::string session;        // empty: not named in the body
  std::vector<Prompt> input;  // at least one
  std::optional<std::uint32_t> dimensions;
  bool base64 = false;  // the elements' bytes instead of numbers
  Urgency urgency;
};

Parsed<EmbeddingCall> parse_embedding(std::string_view body);

// One request per input. Refuses what does not fit the model.
Parsed<std::vector<GenerationRequest>> make_requests(const EmbeddingCall& call, const ServedModel& model);

}  // namespace cortensor::router
