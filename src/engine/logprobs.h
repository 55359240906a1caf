// Log-probabilities of tokens as clients see them, exactly as arith::log_probability() defines them.   Spec:
// A14.8
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/generation.h"

namespace cortensor::engine {

// Holds only scratch memory. One thread at a time.
class LogprobReader {
 public:
  // logits: [vocabulary], as the model gave them, finite. `top`: how many of the most likely tokens.
  Logprobs read(std::span<const float> logits, TokenId chosen, std::uint32_t top);

 private:
  std::vector<float> row_;
  std::vector<TokenId> ids_;
};

}  // namespace cortensor::engine
