// Logits to a token, exactly the same on every device.   Spec: sampling.md
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/generation.h"
#include "base/result.h"

namespace cortensor::engine {

// Philox4x32-10: four random words for a counter under a key.
std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                        std::array<std::uint32_t, 2> key);

// The uniform number in [0, 1) of a position: a multiple of 2^-24.
float position_uniform(std::uint64_t seed, std::uint32_t position);

// invalid_input when a field is outside its range.
Status check_sampling(const Sampling& sampling);

// Holds only scratch memory: the answer depends on the arguments alone. One thread at a time.
class Sampler {
 public:
  // logits: [vocabulary]. position: absolute position of the token being chosen. `sampling` has been checked.
  // An error when a logit is not finite or there are none.
  Result<TokenId> sample(std::span<const float> logits, const Sampling& sampling, std::uint32_t position);

 private:
  struct Candidate {
    std::uint32_t order;  // smaller for larger logits
    TokenId token;
  };
  void sort_candidates(std::size_t keep);

  std::vector<Candidate> candidates_;
  std::vector<Candidate> scratch_;
  std::vector<float> weights_;
};

}  // namespace cortensor::engine
