// Penalties and biases on the logits of one position, exactly as arith::adjusted() defines them, touching
// only the tokens they concern.   Spec: A14.2
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/generation.h"

namespace cortensor::engine {

// The tokens before the position that is being chosen.
struct TokensSoFar {
  std::span<const TokenId> prompt, answer;
};

// Holds only scratch memory. One thread at a time.
class LogitAdjuster {
 public:
  // The adjusted logits, borrowed until the next call: `logits` itself when there is nothing to adjust. All
  // tokens are below logits.size().
  std::span<const float> adjust(std::span<const float> logits, const Sampling& sampling,
                                const TokensSoFar& so_far);

 private:
  void penalise(const Sampling& sampling, const TokensSoFar& so_far);

  std::vector<float> adjusted_;
  std::vector<std::uint32_t> counts_;  // all zero between calls
  std::vector<TokenId> seen_;
};

}  // namespace cortensor::engine
