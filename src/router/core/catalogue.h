// The models a router serves: what identifies each, how text becomes its tokens, and nothing of its weights.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/generation.h"
#include "base/result.h"
#include "engine/chat_template.h"
#include "engine/tokenizer.h"
#include "protocol/manifest.h"

namespace cortensor::router {

// Immovable in memory: the template and the text streams point to the tokenizer.
struct ServedModel {
  ServedModel(protocol::ModelManifest what, engine::Tokenizer words)
      : manifest(std::move(what)), tokenizer(std::move(words)) {}
  ServedModel(const ServedModel&) = delete;
  ServedModel& operator=(const ServedModel&) = delete;

  protocol::ModelManifest manifest;
  engine::Tokenizer tokenizer;
  std::uint32_t dim = 0;                     // elements of an embedding, at most
  std::optional<engine::ChatTemplate> chat;  // none: /v1/chat/completions refuses the model
};

// Filled at start, then constant.
class Catalogue {
 public:
  // conflict: the id or the weights are served already.
  Status add(std::unique_ptr<ServedModel> model);

  const ServedModel* find(std::string_view id) const;            // nullptr when not served
  const ServedModel* find_weights(const Digest& weights) const;  // likewise
  const std::vector<std::unique_ptr<ServedModel>>& models() const { return models_; }

 private:
  std::vector<std::unique_ptr<ServedModel>> models_;
};

}  // namespace cortensor::router
