// Logits to a token, exactly as arith::sample() defines it, without sorting the whole vocabulary.   Spec: A14
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/generation.h"
#include "base/result.h"
#include "engine/logit_adjuster.h"
#include "engine/ordered_weights.h"
#include "engine/token_trie.h"

namespace cortensor::engine {

// invalid_input when a field is outside its range.
Status check_sampling(const Sampling& sampling, std::size_t vocab_size);

// Holds only scratch memory: the answer depends on the arguments alone. One thread at a time.
class Sampler {
 public:
  // logits: [vocabulary]. position: absolute position of the token being chosen. `sampling` has been checked,
  // also against the vocabulary. allowed: of that size; none allows all. An error when a logit is not finite,
  // there are none or none is allowed.
  Result<TokenId> sample(std::span<const float> logits, const Sampling& sampling, std::uint32_t position,
                         const TokensSoFar& so_far = {}, const TokenMask* allowed = nullptr);

 private:
  std::span<const float> limit(std::span<const float> logits, const TokenMask& allowed);
  std::size_t choose(const Sampling& sampling, float u);

  LogitAdjuster adjuster_;
  OrderedWeights weights_;
  std::vector<float> limited_;  // [vocabulary]
};

}  // namespace cortensor::engine
