#include "sim_engine.h"

#include <algorithm>
#include <array>

#include "base/hex.h"
#include "engine/transcript.h"

namespace cortensor::simulation {
namespace {

engine::ReplayResult judge(ToyAnswer answer, const std::vector<Step>& claimed, FinishReason finish) {
  using engine::ReplayFinding;
  for (std::size_t i = 0; i < claimed.size(); ++i) {
    if (answer.ended()) return {ReplayFinding::past_end, i, "the end", std::to_string(claimed[i].token)};
    const Step honest = answer.next();
    if (claimed[i].token != honest.token)
      return {ReplayFinding::token_differs, i, std::to_string(honest.token),
              std::to_string(claimed[i].token)};
    if (claimed[i].digest != honest.digest)
      return {ReplayFinding::digest_differs, i, to_hex(honest.digest), to_hex(claimed[i].digest)};
    answer.take(honest.token);
  }
  if (!answer.ended()) return {ReplayFinding::no_end, claimed.size(), "another token", "the end"};
  if (*answer.ended() != finish)
    return {ReplayFinding::wrong_reason, claimed.size(), std::string(cortensor::to_string(*answer.ended())),
            std::string(cortensor::to_string(finish))};
  return {ReplayFinding::valid, claimed.size(), {}, {}};
}

}  // namespace

std::string_view to_string(Habit habit) {
  constexpr std::array<std::string_view, kHabits> kNames{
      "honest",  "alters_token", "alters_digest", "cuts_answer", "stalls",  "fails",
      "objects", "believes",     "leaves",        "forges",      "talks_on"};
  return kNames[static_cast<std::size_t>(habit)];
}

SimEngine::SimEngine(Process& process, const router::ServedModel& model, const Machine& machine,
                     Random& random)
    : process_(process), model_(model), machine_(machine), random_(random) {
  info_.architecture = model.manifest.architecture;
  info_.quantisation = model.manifest.quantisation;
  info_.context_length = model.manifest.context_length;
  info_.vocab_size = model.manifest.vocabulary;
  info_.weights_digest = model.manifest.weights;
}

Clock::duration SimEngine::time_of(std::size_t tokens, double per_second) {
  const double company = static_cast<double>(std::max<std::size_t>(running_.size(), 1));
  const double seconds = static_cast<double>(tokens) / per_second * (0.5 + 0.5 * company);
  return std::chrono::microseconds(static_cast<std::int64_t>(seconds * 1e6) + random_.between(0, 999));
}

std::uint64_t SimEngine::add(Sequence sequence, Clock::duration first) {
  const std::uint64_t id = ++last_;
  running_.emplace(id, std::move(sequence));
  process_.after(first, [this, id] { run(id); });
  return id;
}

Result<engine::SequenceHandle> SimEngine::submit(engine::Submission submission, engine::Callbacks callbacks) {
  if (auto status = engine::check_request(submission.request, info_.vocab_size, info_.context_length);
      !status)
    return status.error();
  if (running_.size() >= machine_.sequences) return fail(ErrorKind::overloaded, "all sequences are in use");
  Sequence sequence;
  sequence.answer = std::make_unique<ToyAnswer>(submission.request, model_);
  if (machine_.habit != Habit::honest && random_.chance(machine_.lies_percent)) {
    sequence.habit = machine_.habit;
    sequence.lies_at = random_.below(8);
    // Who has altered a token may be gone before it has to sign that.
    if (sequence.habit == Habit::alters_token && random_.chance(50))
      sequence.breaks_off_at = sequence.lies_at + 1 + random_.below(6);
  }
  const auto time = time_of(submission.request.prompt.size() + submission.given.size(), machine_.prefill);
  sequence.submission = std::move(submission);
  sequence.callbacks = std::move(callbacks);
  return engine::SequenceHandle{add(std::move(sequence), time)};
}

Result<engine::SequenceHandle> SimEngine::submit_replay(
    GenerationRequest request, std::vector<Step> claimed, FinishReason finish,
    std::function<void(Result<engine::ReplayResult>)> on_result) {
  if (running_.size() >= machine_.sequences) return fail(ErrorKind::overloaded, "all sequences are in use");
  Sequence sequence;
  const auto time = time_of(request.prompt.size() + claimed.size(), machine_.prefill);
  sequence.on_result = [this, request = std::move(request), claimed = std::move(claimed), finish,
                        on_result = std::move(on_result)](const Result<engine::ReplayResult>& cancelled) {
    if (!cancelled) return on_result(cancelled.error());
    engine::ReplayResult found = judge(ToyAnswer(request, model_), claimed, finish);
    if (machine_.believes_all) found = {engine::ReplayFinding::valid, claimed.size(), {}, {}};
    if (machine_.doubts_all) found = {engine::ReplayFinding::token_differs, 0, "another", "this"};
    on_result(std::move(found));
  };
  return engine::SequenceHandle{add(std::move(sequence), time)};
}

Result<engine::ReplayResult> SimEngine::replay(const GenerationRequest& request,
                                               const std::vector<Step>& claimed, FinishReason finish) {
  return judge(ToyAnswer(request, model_), claimed, finish);
}

// Noticed before the next pass, as in the real engine.
void SimEngine::cancel(engine::SequenceHandle handle) {
  if (const auto found = running_.find(handle.id); found != running_.end()) found->second.cancelled = true;
}

// The sequence is gone before its owner hears of it.
void SimEngine::end(std::uint64_t id, const std::function<void(Sequence&)>& how) {
  auto sequence = running_.extract(id);
  how(sequence.mapped());
}

void SimEngine::run(std::uint64_t id) {
  Sequence& sequence = running_.at(id);
  if (sequence.cancelled)
    return end(id, [](Sequence& one) {
      const Error why = fail(ErrorKind::cancelled, "cancelled");
      if (one.on_result) return one.on_result(why);
      one.callbacks.on_error(why);
    });
  if (sequence.on_result) return end(id, [](Sequence& one) { one.on_result(engine::ReplayResult{}); });

  if (sequence.steps.empty() && sequence.callbacks.on_start)
    sequence.callbacks.on_start(random_.below(sequence.submission.request.prompt.size()));
  const std::vector<TokenId>& given = sequence.submission.given;
  std::optional<Error> error;
  std::optional<FinishReason> finish;
  do {
    const std::size_t position = sequence.steps.size();
    const bool lies = position >= sequence.lies_at;
    if (sequence.habit == Habit::stalls && lies)
      return process_.after(std::chrono::seconds(1), [this, id] { run(id); });
    Step step = sequence.answer->next();
    if (position < given.size()) {
      if (sequence.habit == Habit::objects && lies)
        error = fail(ErrorKind::conflict, "given position: another token");
      else if (sequence.habit == Habit::believes)
        step.token = given[position];
      else if (given[position] != step.token)
        error = fail(ErrorKind::conflict, "given position: another token");
    } else if ((sequence.habit == Habit::fails && lies) || position == sequence.breaks_off_at) {
      constexpr std::array kReasons{ErrorKind::internal, ErrorKind::overloaded, ErrorKind::invalid_input,
                                    ErrorKind::conflict, ErrorKind::unsupported};
      error = fail(kReasons[random_.below(kReasons.size())], "made up");
    } else if (sequence.habit == Habit::alters_token && position == sequence.lies_at) {
      step.token = 'A' + machine_.number;  // no two liars tell the same lie
      step.digest[0] ^= 1;
    }
    if (sequence.habit == Habit::alters_digest && position == sequence.lies_at)
      step.digest[1] ^= static_cast<std::uint8_t>(machine_.number + 1);
    if (error) break;
    if (const auto elements = toy_embedding(sequence.submission.request); !elements.empty()) {
      if (sequence.habit == Habit::alters_digest || sequence.habit == Habit::alters_token) {
        auto altered = elements;
        altered[0] += 0.5f + static_cast<float>(machine_.number);
        step = {kEmbeddingToken, engine::position_digest(altered, kEmbeddingToken)};
        sequence.callbacks.on_embedding(altered);
      } else {
        sequence.callbacks.on_embedding(elements);
      }
    }
    sequence.answer->take(step.token);
    sequence.steps.push_back(step);
    Logprobs logprobs{-0.5f, {}};
    sequence.callbacks.on_step(position, step, sequence.submission.logprobs ? &logprobs : nullptr);
    finish = sequence.answer->ended();
    if (sequence.habit == Habit::cuts_answer && lies) finish = FinishReason::stop;
    if (finish && sequence.steps.size() < given.size() && sequence.habit != Habit::believes)
      error = fail(ErrorKind::conflict, "given position: expected the end");
  } while (!error && !finish && sequence.steps.size() < given.size());

  if (error) return end(id, [&](Sequence& one) { one.callbacks.on_error(*error); });
  if (finish)
    return end(id,
               [&](Sequence& one) { one.callbacks.on_finish(*finish, engine::transcript_root(one.steps)); });
  process_.after(time_of(1, machine_.decode), [this, id] { run(id); });
}

}  // namespace cortensor::simulation
