// The model of the simulation: what every honest machine computes for a request, token by token. Every choice
// follows from the request and all tokens before it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/generation.h"
#include "engine/text_stream.h"
#include "router/core/catalogue.h"

namespace cortensor::simulation {

class ToyAnswer {
 public:
  ToyAnswer(const GenerationRequest& request, const router::ServedModel& model);

  Step next() const;         // what is chosen here
  void take(TokenId token);  // what stands here, chosen or not
  std::optional<FinishReason> ended() const { return ended_; }

 private:
  const router::ServedModel& model_;
  bool embeds_;
  std::vector<float> elements_;
  engine::StopMatcher stops_;
  Digest state_{};
  std::optional<FinishReason> ended_;
};

// The elements of an embedding, where one was asked for.
std::vector<float> toy_embedding(const GenerationRequest& request);

struct Transcript {
  std::vector<Step> steps;
  FinishReason finish = FinishReason::stop;
  std::string text;
};
Transcript reference(const GenerationRequest& request, const router::ServedModel& model);

}  // namespace cortensor::simulation
