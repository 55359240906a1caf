// A model as a function of tokens: the logits of every position, with no sampling, no scheduling and no
// tokenizer of its own. For tools that judge a model; an answer is the Engine's business.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/generation.h"
#include "base/result.h"
#include "compute/backend.h"
#include "engine/forward.h"
#include "engine/gguf_file.h"
#include "engine/model.h"

namespace cortensor::engine {

struct EvaluatorOptions {
  std::string isa;          // as EngineOptions
  std::size_t threads = 0;  // 0: one per processor
  std::size_t context = 0;  // positions at most; 0, or more than the model has: the model's
};

// One thread at a time.
class Evaluator {
 public:
  static Result<std::unique_ptr<Evaluator>> load(const std::string& path, const EvaluatorOptions& options,
                                                 const std::function<void(double fraction)>& progress = {});

  // The logits after each token from `first` on, in order: take(position, logits) with logits[id] for the
  // token at position + 1. An error of `take` ends the run.
  using Take = std::function<Status(std::size_t position, std::span<const float> logits)>;
  Status run(std::span<const TokenId> tokens, std::size_t first, const Take& take);

  const GgufFile& file() const { return file_; }
  std::size_t vocab_size() const { return model_.config.vocab_size; }
  std::size_t context() const { return context_; }
  std::string name() const { return backend_->name(); }

 private:
  Evaluator(GgufFile file, Model model, std::unique_ptr<compute::Backend> backend, std::size_t context);

  GgufFile file_;
  Model model_;
  std::unique_ptr<compute::Backend> backend_;
  std::unique_ptr<Forward> forward_;
  std::size_t context_;
  std::vector<PageId> pages_;
  std::vector<float> logits_;
};

}  // namespace cortensor::engine
