#include "engine/chooser.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "engine/transcript.h"

namespace cortensor::engine {

namespace {

// For people only, so the platform's exp and log will do.
double log_probability(std::span<const float> logits, TokenId token) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  return logits[token] - largest - std::log(sum);
}

}  // namespace

Chooser::Chooser(Forward& forward, std::size_t threads)
    : forward_(forward), pool_(threads), samplers_(threads) {}

std::span<const Result<Choice>> Chooser::choose(std::span<const ChoiceOrder> orders) {
  CORTENSOR_CHECK(orders.size() <= kChoiceRows);
  const std::size_t vocab = forward_.vocab_size();
  logits_.resize(std::max(logits_.size(), orders.size() * vocab));
  forward_.logits(orders.front().output, orders.size(), std::span(logits_).first(orders.size() * vocab));

  const auto choose_one = [&](std::size_t i, Sampler& sampler) -> Result<Choice> {
    const ChoiceOrder& order = orders[i];
    const auto row = std::span<const float>(logits_).subspan(i * vocab, vocab);
    const Result<TokenId> token = sampler.sample(row, *order.sampling, order.position);
    if (!token) return Error(token.error());
    Choice choice{{*token, position_digest(forward_.hidden(order.output), *token)}, std::nullopt};
    if (order.logprob) choice.logprob = log_probability(row, *token);
    return choice;
  };
  choices_.assign(orders.size(), Choice{});
  const auto work = [&](std::size_t worker) {
    const Range part = partition(orders.size(), 1, worker, pool_.threads());
    for (std::size_t i = part.begin; i < part.end; ++i) choices_[i] = choose_one(i, samplers_[worker]);
  };
  // One or two choices are done before another thread is awake.
  if (orders.size() < 2 * pool_.threads()) {
    for (std::size_t i = 0; i < orders.size(); ++i) choices_[i] = choose_one(i, samplers_.front());
  } else {
    pool_.run(work);
  }
  return choices_;
}

}  // namespace cortensor::engine
