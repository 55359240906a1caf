// How surprised a model is by a text: the mean negative log-likelihood of its tokens.
//
// The text is tokenised as a whole. A window is the begin token (when the model wants one) and the text's
// next tokens, `context` positions in all; the next window begins `stride` tokens later. Of each window the
// last min(stride, context / 2) tokens are scored, so that no token is scored twice and each has at least
// half a context before it. A rest that fills no window is left out. Logarithms are arith's own: every
// machine prints the same digits.
#pragma once

#include <cstddef>
#include <functional>
#include <span>

#include "base/generation.h"
#include "base/result.h"
#include "engine/evaluator.h"
#include "engine/tokenizer.h"

namespace cortensor::engine {

struct PerplexityOptions {
  std::size_t context = 512;  // of a window, the begin token included
  std::size_t stride = 256;
  std::size_t windows = 0;  // at most; 0: all there are
};

struct PerplexityReport {
  std::size_t windows = 0;
  std::size_t tokens = 0;       // scored
  double nll = 0;               // mean, in nats
  double standard_error = 0;    // of nll, tokens taken as independent
  double perplexity = 1;        // e^nll
  double perplexity_error = 0;  // to first order
};

// invalid_input: the text fills no window, or context and stride make no sense.
Result<PerplexityReport> measure_perplexity(Evaluator& model, const Tokenizer& tokenizer,
                                            std::span<const TokenId> text, const PerplexityOptions& options,
                                            const std::function<void(double fraction)>& progress = {});

// -ln of the probability that softmax gives to `token`. logits are finite.
double negative_log_likelihood(std::span<const float> logits, TokenId token);

}  // namespace cortensor::engine
