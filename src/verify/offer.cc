#include "verify/offer.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <vector>

namespace cortensor::verify {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kPrompt = 64, kAnswer = 24;

double per_second(std::size_t tokens, Clock::duration time) {
  return static_cast<double>(tokens) / std::max(1e-6, std::chrono::duration<double>(time).count());
}

struct Times {
  double prefill = 0;  // prompt tokens a second
  double decode = 0;   // tokens a second, of all answers
};

// A few equal requests at a time. Of the prompts only the first's time is told, of the answers what they made
// from when all had begun until the first had ended.
Result<Times> run(engine::Engine& engine, std::size_t answers) {
  const engine::ModelInfo& info = engine.info();
  GenerationRequest request;
  for (std::size_t i = 0; i < std::min(kPrompt, info.context_length / 2); ++i)
    request.prompt.push_back(static_cast<TokenId>(i % info.vocab_size));
  request.max_tokens =
      static_cast<std::uint32_t>(std::min(kAnswer, info.context_length - request.prompt.size()));

  struct Seen {
    std::vector<Clock::time_point> steps;
    std::promise<Status> finished;
  };
  std::vector<Seen> seen(answers);  // each written by the engine's thread until it has finished
  const auto begin = Clock::now();
  for (Seen& one : seen) {
    engine::Callbacks callbacks;
    callbacks.on_step = [&one](std::size_t, const Step&, const Logprobs*) {
      one.steps.push_back(Clock::now());
    };
    callbacks.on_finish = [&one](FinishReason, const Digest&) { one.finished.set_value(ok()); };
    callbacks.on_error = [&one](const Error& error) { one.finished.set_value(error); };
    engine::Submission submission;
    submission.request = request;
    if (auto handle = engine.submit(std::move(submission), std::move(callbacks)); !handle)
      one.finished.set_value(handle.error());
  }
  Status all = ok();
  for (Seen& one : seen)
    if (Status status = one.finished.get_future().get(); !status) all = status;
  if (!all) return all.error();

  Clock::time_point first = seen[0].steps.front(), from = first, to = seen[0].steps.back();
  for (const Seen& one : seen) {
    first = std::min(first, one.steps.front());
    from = std::max(from, one.steps.front());
    to = std::min(to, one.steps.back());
  }
  std::size_t between = 0;
  for (const Seen& one : seen)
    between += static_cast<std::size_t>(
        std::count_if(one.steps.begin(), one.steps.end(), [&](auto at) { return at > from && at <= to; }));
  Times times;
  times.prefill = per_second(request.prompt.size(), first - begin);
  times.decode = between > 0 ? per_second(between, to - from) : times.prefill;
  return times;
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
  const engine::EngineLoad idle = engine.load_now();
  const auto alone = run(engine, 1);
  if (!alone) return alone.error();
  protocol::ModelOffer offer;
  offer.manifest = manifest_of(engine.info(), std::move(id));
  offer.prefill_tokens_per_second = alone->prefill;
  offer.decode_tokens_per_second = alone->decode;
  offer.kv_positions = static_cast<std::uint32_t>(std::min<std::size_t>(idle.free_kv_tokens, UINT32_MAX));
  const std::size_t fit = std::min(idle.free_sequences, idle.free_kv_tokens / (2 * kPrompt));
  for (std::size_t answers = 2;
       answers <= fit && offer.batch_tokens_per_second.size() < protocol::kMaxBatchSpeeds; answers *= 2) {
    const auto together = run(engine, answers);
    if (!together) return together.error();
    offer.batch_tokens_per_second.push_back(together->decode);
  }
  return offer;
}

}  // namespace cortensor::verify
