// From final states to tokens: logits, sampling and digests of many rows at once. Each row's choice is a pure
// function of its state and its sequence's request, so rows are shared out among threads in any way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/generation.h"
#include "base/result.h"
#include "base/runtime/thread_pool.h"
#include "engine/forward.h"
#include "engine/logprobs.h"
#include "engine/sampler.h"
#include "engine/sequence.h"

namespace cortensor::engine {

// One output of the last forward pass and how to choose from it.
struct ChoiceOrder {
  std::size_t output = 0;
  std::uint32_t position = 0;  // absolute, of the token being chosen
  const Sampling* sampling = nullptr;
  TokensSoFar so_far;
  Result<std::shared_ptr<const TokenMask>> allowed = nullptr;  // null: all
  std::optional<std::uint32_t> logprobs = {};
};

// Outputs whose logits are in memory at a time.
inline constexpr std::size_t kChoiceRows = 64;

// One thread at a time.
class Chooser {
 public:
  Chooser(Forward& forward, std::size_t threads);

  // At most kChoiceRows orders with consecutive outputs; the results live until the next call. An error: a
  // logit is not finite, or no token is allowed.
  std::span<const Result<Choice>> choose(std::span<const ChoiceOrder> orders);

 private:
  Forward& forward_;
  ThreadPool pool_;
  struct Worker {
    Sampler sampler;
    LogprobReader logprobs;
  };
  Result<Choice> choose_one(const ChoiceOrder& order, std::span<const float> logits, Worker& worker) const;

  std::vector<Worker> workers_;  // one per thread
  std::vector<float> logits_;    // [kChoiceRows, vocab_size], grown on demand
  std::vector<Result<Choice>> choices_;
};

}  // namespace cortensor::engine
