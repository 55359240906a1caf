#include "engine/chooser.h"

#include <algorithm>
#include <atomic>

#include "base/check.h"
#include "engine/transcript.h"

namespace cortensor::engine {

Chooser::Chooser(Forward& forward, std::size_t threads)
    : forward_(forward), pool_(threads), workers_(threads) {}

Result<Choice> Chooser::choose_one(const ChoiceOrder& order, std::span<const float> logits,
                                   Worker& worker) const {
  if (!order.allowed) return Error(order.allowed.error());
  const Result<TokenId> token =
      worker.sampler.sample(logits, *order.sampling, order.position, order.so_far, order.allowed->get());
  if (!token) return Error(token.error());
  Choice choice{{*token, position_digest(forward_.hidden(order.output), *token)}, nullptr};
  if (order.logprobs)
    choice.logprobs = std::make_shared<const Logprobs>(worker.logprobs.read(logits, *token, *order.logprobs));
  return choice;
}

std::span<const Result<Choice>> Chooser::choose(std::span<const ChoiceOrder> orders) {
  CORTENSOR_CHECK(orders.size() <= kChoiceRows);
  const std::size_t vocab = forward_.vocab_size();
  logits_.resize(std::max(logits_.size(), orders.size() * vocab));
  forward_.logits(orders.front().output, orders.size(), std::span(logits_).first(orders.size() * vocab));

  const auto row = [&](std::size_t i) { return std::span<const float>(logits_).subspan(i * vocab, vocab); };
  choices_.assign(orders.size(), Choice{});
  std::atomic<std::size_t> next = 0;
  const auto work = [&](std::size_t worker) {
    for (std::size_t i = next++; i < orders.size(); i = next++)
      choices_[i] = choose_one(orders[i], row(i), workers_[worker]);
  };
  // One or two choices are done before another thread is awake.
  if (orders.size() < 2 * pool_.threads()) {
    for (std::size_t i = 0; i < orders.size(); ++i)
      choices_[i] = choose_one(orders[i], row(i), workers_.front());
  } else {
    pool_.run(work);
  }
  return choices_;
}

}  // namespace cortensor::engine
