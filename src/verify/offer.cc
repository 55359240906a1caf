#include "verify/offer.h"

#include <algorithm>
#include <chrono>
#include <future>

namespace cortensor::verify {
namespace {

using Clock = std::chrono::steady_clock;

double per_second(std::size_t tokens, Clock::duration time) {
  return static_cast<double>(tokens) / std::max(1e-6, std::chrono::duration<double>(time).count());
}

}  // namespace

protocol::ModelManifest manifest_of(const engine::ModelInfo& info, std::string id) {
  protocol::ModelManifest manifest;
  manifest.id = std::move(id);
  manifest.architecture = info.architecture;
  manifest.quantisation = info.quantisation;
  manifest.weights = info.weights_digest;
  manifest.tokenizer = info.tokenizer_digest;
  manifest.context_length = static_cast<std::uint32_t>(info.context_length);
  manifest.vocabulary = static_cast<std::uint32_t>(info.vocab_size);
  return manifest;
}

Result<protocol::ModelOffer> measure_offer(engine::Engine& engine, std::string id) {
  const engine::ModelInfo& info = engine.info();
  constexpr std::size_t kPrompt = 64, kAnswer = 24;
  engine::Submission run;
  for (std::size_t i = 0; i < std::min(kPrompt, info.context_length / 2); ++i)
    run.request.prompt.push_back(static_cast<TokenId>(i % info.vocab_size));
  run.request.max_tokens =
      static_cast<std::uint32_t>(std::min(kAnswer, info.context_length - run.request.prompt.size()));

  const std::size_t prompt = run.request.prompt.size();
  const auto begin = Clock::now();
  Clock::time_point first, last;
  std::size_t steps = 0;
  std::promise<Status> finished;
  engine::Callbacks callbacks;
  callbacks.on_step = [&](std::size_t, const Step&, const Logprobs*) {
    last = Clock::now();
    if (steps++ == 0) first = last;
  };
  callbacks.on_finish = [&](FinishReason, const Digest&) { finished.set_value(ok()); };
  callbacks.on_error = [&](const Error& error) { finished.set_value(error); };
  if (auto handle = engine.submit(std::move(run), std::move(callbacks)); !handle) return handle.error();
  if (Status status = finished.get_future().get(); !status) return status.error();

  protocol::ModelOffer offer;
  offer.manifest = manifest_of(info, std::move(id));
  offer.prefill_tokens_per_second = per_second(prompt, first - begin);
  offer.decode_tokens_per_second =
      steps > 1 ? per_second(steps - 1, last - first) : offer.prefill_tokens_per_second;
  return offer;
}

}  // namespace cortensor::verify
