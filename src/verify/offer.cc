#include "verify/offer.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <vector>

namespace cortensor::verify {
namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

// Of the request that is alone, whose prompt is timed, and of those that keep each other company.
constexpr std::size_t kPrompt = 64, kPromptInCompany = 16, kAnswer = 24;
// Steps of an answer that its pace can be told from, and what is taken for all measuring, but for these.
constexpr std::size_t kLeastSteps = 3;
constexpr Seconds kPatience{3};

double per_second(std::size_t tokens, Clock::duration time) {
  return static_cast<double>(tokens) / std::max(1e-6, Seconds(time).count());
}

// When an answer's tokens came. Written by the engine's thread until it has finished.
struct Seen {
  std::vector<Clock::time_point> steps;
  std::atomic<std::size_t> count = 0;
  std::promise<Status> finished;
  std::future<Status> end = finished.get_future();
};

struct Run {
  std::size_t prompt = 0;  // tokens
  Clock::time_point began;
  std::vector<Seen> answers;
};

// A few equal requests at a time, broken off after `patience` if they are slow.
Result<Run> run(engine::Engine& engine, std::size_t prompt, std::size_t answers, Seconds patience) {
  const engine::ModelInfo& info = engine.info();
  GenerationRequest request;
  for (std::size_t i = 0; i < std::min(prompt, info.context_length / 2); ++i)
    request.prompt.push_back(static_cast<TokenId>(i % info.vocab_size));
  request.max_tokens =
      static_cast<std::uint32_t>(std::min(kAnswer, info.context_length - request.prompt.size()));

  Run run{request.prompt.size(), Clock::now(), std::vector<Seen>(answers)};
  std::vector<engine::SequenceHandle> handles;
  for (Seen& one : run.answers) {
    engine::Callbacks callbacks;
    callbacks.on_step = [&one](std::size_t, const Step&, const Logprobs*) {
      one.steps.push_back(Clock::now());
      ++one.count;
    };
    callbacks.on_finish = [&one](FinishReason, const Digest&) { one.finished.set_value(ok()); };
    callbacks.on_error = [&one](const Error& error) {
      one.finished.set_value(error.kind == ErrorKind::cancelled && one.count >= kLeastSteps ? ok()
                                                                                            : Status(error));
    };
    engine::Submission submission;
    submission.request = request;
    if (auto handle = engine.submit(std::move(submission), std::move(callbacks)))
      handles.push_back(*handle);
    else
      one.finished.set_value(handle.error());
  }
  const auto enough = [&](const Seen& one) {
    return one.count >= kLeastSteps && Clock::now() - run.began >= patience;
  };
  for (Seen& one : run.answers)
    while (one.end.wait_for(std::chrono::milliseconds(5)) != std::future_status::ready)
      if (std::all_of(run.answers.begin(), run.answers.end(), enough))
        for (const auto handle : handles) engine.cancel(handle);
  Status all = ok();
  for (Seen& one : run.answers)
    if (Status status = one.end.get(); !status) all = status;
  if (!all) return all.error();
  return run;
}

// Tokens a second of all answers, from when all had begun until the first had ended; 0 if that was never.
double pace(const Run& run) {
  Clock::time_point from = run.answers[0].steps.front(), to = run.answers[0].steps.back();
  for (const Seen& one : run.answers) {
    from = std::max(from, one.steps.front());
    to = std::min(to, one.steps.back());
  }
  std::size_t between = 0;
  for (const Seen& one : run.answers)
    between += static_cast<std::size_t>(
        std::count_if(one.steps.begin(), one.steps.end(), [&](auto at) { return at > from && at <= to; }));
  return between > 0 ? per_second(between, to - from) : 0;
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
  const auto began = Clock::now();
  const auto left = [&] { return kPatience - Seconds(Clock::now() - began); };
  const auto alone = run(engine, kPrompt, 1, kPatience);
  if (!alone) return alone.error();
  const Clock::time_point first = alone->answers[0].steps.front();
  protocol::ModelOffer offer;
  offer.manifest = manifest_of(engine.info(), std::move(id));
  offer.prefill_tokens_per_second = per_second(alone->prompt, first - alone->began);
  offer.decode_tokens_per_second = pace(*alone);
  // A model whose answers end with their first token.
  if (offer.decode_tokens_per_second == 0) offer.decode_tokens_per_second = offer.prefill_tokens_per_second;
  offer.kv_positions = static_cast<std::uint32_t>(std::min<std::size_t>(idle.free_kv_tokens, UINT32_MAX));
  const std::size_t fit = std::min(idle.free_sequences, idle.free_kv_tokens / (2 * kPrompt));
  for (std::size_t answers = 2;
       answers <= fit && offer.batch_tokens_per_second.size() < protocol::kMaxBatchSpeeds; answers *= 2) {
    // They gain nothing from each other's company, at worst.
    const Seconds longest(static_cast<double>(answers) *
                          (static_cast<double>(kPromptInCompany) / offer.prefill_tokens_per_second +
                           static_cast<double>(kLeastSteps) / offer.decode_tokens_per_second));
    if (longest > left()) break;
    const auto together = run(engine, kPromptInCompany, answers, left());
    if (!together) return together.error();
    const double speed = pace(*together);
    if (speed == 0) break;  // they did not meet
    offer.batch_tokens_per_second.push_back(speed);
  }
  return offer;
}

}  // namespace cortensor::verify
