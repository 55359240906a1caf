#include "engine/perplexity.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "arith/rope.h"

namespace cortensor::engine {

double negative_log_likelihood(std::span<const float> logits, TokenId token) {
  const double largest = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  double sum = 0;  // at least 1, from the largest itself
  for (const float logit : logits)
    sum += arith::exp64(std::max(-700.0, static_cast<double>(logit) - largest));
  return arith::log64(sum) + largest - static_cast<double>(logits[token]);
}

Result<PerplexityReport> measure_perplexity(Evaluator& model, const Tokenizer& tokenizer,
                                            std::span<const TokenId> text, const PerplexityOptions& options,
                                            const std::function<void(double fraction)>& progress) {
  const std::size_t begin_tokens = tokenizer.adds_bos() ? 1 : 0;
  const auto out_of_range = [](std::string_view what, std::size_t least, std::size_t most,
                               std::size_t found) {
    return fail(ErrorKind::invalid_input, "expected a " + std::string(what) + " of " + std::to_string(least) +
                                              " to " + std::to_string(most) + ", found " +
                                              std::to_string(found));
  };
  if (options.context < 8 || options.context > model.context())
    return out_of_range("context", 8, model.context(), options.context);
  const std::size_t from_text = options.context - begin_tokens;
  if (options.stride < 1 || options.stride > from_text)
    return out_of_range("stride", 1, from_text, options.stride);
  if (text.size() < from_text)
    return fail(ErrorKind::invalid_input, "the text has " + std::to_string(text.size()) +
                                              " tokens: expected at least " + std::to_string(from_text));
  PerplexityReport report;
  report.windows = (text.size() - from_text) / options.stride + 1;
  if (options.windows != 0) report.windows = std::min(report.windows, options.windows);
  const std::size_t scored = std::min(options.stride, options.context / 2);

  double sum = 0, squares = 0;
  std::vector<TokenId> window;
  for (std::size_t w = 0; w < report.windows; ++w) {
    window.assign(begin_tokens, tokenizer.bos().value_or(0));
    const auto part = text.subspan(w * options.stride, from_text);
    window.insert(window.end(), part.begin(), part.end());
    // The last token is only predicted, so it needs no row of its own.
    const auto rows = std::span<const TokenId>(window).first(window.size() - 1);
    const auto status =
        model.run(rows, window.size() - 1 - scored, [&](std::size_t position, std::span<const float> logits) {
          const double nll = negative_log_likelihood(logits, window[position + 1]);
          sum += nll;
          squares += nll * nll;
          ++report.tokens;
          return ok();
        });
    if (!status) return Error(status.error()).context("window " + std::to_string(w));
    if (progress) progress(static_cast<double>(w + 1) / static_cast<double>(report.windows));
  }
  const auto count = static_cast<double>(report.tokens);
  report.nll = sum / count;
  const double variance = std::max(0.0, squares / count - report.nll * report.nll);
  report.standard_error = std::sqrt(variance / count);
  report.perplexity = 1.0 / arith::exp64(std::clamp(-report.nll, -700.0, 0.0));
  report.perplexity_error = report.perplexity * report.standard_error;
  return report;
}

}  // namespace cortensor::engine
