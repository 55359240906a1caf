#include "engine/local_engine.h"

#include <algorithm>
#include <future>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/runtime/thread_pool.h"
#include "engine/scheduler.h"
#include "engine/transcript.h"

namespace cortensor::engine {

LocalEngine::LocalEngine(Parts parts)
    : parts_(std::move(parts)),
      isa_name_(parts_.backend->name()),
      chooser_(*parts_.forward, parts_.backend->threads()),
      pool_(parts_.pages),
      thread_([this] { work(); }) {}

LocalEngine::~LocalEngine() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
}

EngineLoad LocalEngine::load_now() const {
  const std::lock_guard lock(mutex_);
  EngineLoad load = counters_;
  load.sequences = admitted_;
  load.free_sequences = parts_.max_sequences - admitted_;
  load.free_kv_tokens = pool_.free() * kPagePositions;
  load.kept_kv_tokens = pool_.kept() * kPagePositions;
  return load;
}

Status LocalEngine::check(const GenerationRequest& request) const {
  if (request.embedding > parts_.info.dim)
    return fail(ErrorKind::invalid_input, "embedding: expected at most " + std::to_string(parts_.info.dim) +
                                              " elements, found " + std::to_string(request.embedding));
  return check_request(request, limits().vocab_size, limits().context_length);
}

Result<AnswerRules> LocalEngine::answer_rules(const GenerationRequest& request) {
  const Tokenizer& tokenizer = *parts_.tokenizer;
  AnswerRules rules{StopMatcher(request, tokenizer, static_cast<std::uint32_t>(parts_.info.context_length)),
                    std::nullopt};
  if (request.grammar.empty()) return rules;
  std::call_once(trie_made_, [&] { trie_ = std::make_shared<const TokenTrie>(tokenizer); });
  auto constraint = Constraint::create(request, tokenizer, trie_);
  if (!constraint) return std::move(constraint).error();
  rules.constraint = std::move(*constraint);
  return rules;
}

Result<SequenceHandle> LocalEngine::submit(Submission submission, Callbacks callbacks) {
  const GenerationRequest& request = submission.request;
  if (Status valid = check(request); !valid) return std::move(valid).error();
  auto rules = answer_rules(request);
  if (!rules) return std::move(rules).error();
  std::optional<PageKeys> keys;
  if (submission.cache_salt) {
    keys.emplace(*submission.cache_salt);
    keys->extend(Sequence::skippable(request));
  }
  return admit(Sequence::worst_case_rows(request, limits().context_length), [&](SequenceHandle handle) {
    return Running{Sequence::generation(handle, std::move(submission.request), std::move(submission.given),
                                        submission.logprobs, limits(), std::move(*rules)),
                   std::move(callbacks),
                   {},
                   std::move(keys)};
  });
}

// A replay shares no pages: its verdict on somebody else's work rests on the request and the weights alone.
// In an honest validator's cache are the same bits; but where one of them has flipped, one wrong verdict must
// not become a wrong verdict on every answer to that prompt.
Result<SequenceHandle> LocalEngine::submit_replay(GenerationRequest request, std::vector<Step> claimed,
                                                  FinishReason finish,
                                                  std::function<void(Result<ReplayResult>)> on_result) {
  if (Status valid = check(request); !valid) return std::move(valid).error();
  const std::size_t rows = std::min(request.prompt.size() + claimed.size(),
                                    Sequence::worst_case_rows(request, limits().context_length));
  auto rules = answer_rules(request);
  if (!rules) return std::move(rules).error();
  return admit(rows, [&](SequenceHandle handle) {
    return Running{
        Sequence::replay(handle, std::move(request), std::move(claimed), finish, limits(), std::move(*rules)),
        {},
        std::move(on_result),
        std::nullopt};
  });
}

Result<ReplayResult> LocalEngine::replay(const GenerationRequest& request, const std::vector<Step>& claimed,
                                         FinishReason finish) {
  std::promise<Result<ReplayResult>> promise;
  auto handle = submit_replay(request, claimed, finish,
                              [&](Result<ReplayResult> result) { promise.set_value(std::move(result)); });
  if (!handle) return std::move(handle).error();
  return promise.get_future().get();
}

// All of a sequence's cache is reserved now, so that what was admitted can always be finished.
Result<SequenceHandle> LocalEngine::admit(std::size_t rows,
                                          const std::function<Running(SequenceHandle)>& make) {
  if (pages_for(rows) > pool_.total())
    return fail(ErrorKind::invalid_input,
                "prompt and answer: at most " + std::to_string(pool_.total() * kPagePositions) +
                    " tokens fit this engine's cache, found " + std::to_string(rows));
  const std::lock_guard lock(mutex_);
  if (stopping_) return fail(ErrorKind::unavailable, "the engine is shutting down");
  if (admitted_ >= parts_.max_sequences)
    return fail(ErrorKind::overloaded,
                "all " + std::to_string(parts_.max_sequences) + " sequences are in use");
  const SequenceHandle handle{next_id_++};
  auto running = std::make_unique<Running>(make(handle));
  auto grant =
      pool_.acquire(pages_for(rows), running->keys ? running->keys->keys() : std::span<const PageKey>());
  if (!grant)
    return fail(ErrorKind::overloaded, "the cache has " + std::to_string(pool_.free() * kPagePositions) +
                                           " free positions, needed " + std::to_string(rows));
  running->sequence.pages = std::move(grant->pages);
  running->shared = grant->found;
  running->cached_tokens = grant->found * kPagePositions;
  running->sequence.skip(running->cached_tokens);
  counters_.cached_rows += running->cached_tokens;
  arrivals_.push_back(std::move(running));
  ++admitted_;
  wake_.notify_one();
  return handle;
}

void LocalEngine::cancel(SequenceHandle handle) {
  {
    const std::lock_guard lock(mutex_);
    cancellations_.push_back(handle);
  }
  wake_.notify_one();
}

void LocalEngine::work() {
  CORTENSOR_CHECK(floating_point_environment_is_exact());
  std::vector<SequenceHandle> cancelled;
  for (std::size_t known = 0; wait_for_work(cancelled); known = running_.size()) {
    for (; known < running_.size(); ++known)
      if (const Running& arrival = *running_[known]; arrival.callbacks.on_start)
        arrival.callbacks.on_start(arrival.cached_tokens);
    for (const SequenceHandle handle : cancelled)
      for (const auto& running : running_)
        if (running->sequence.handle() == handle) abandon(*running, fail(ErrorKind::cancelled, "cancelled"));
    std::erase_if(running_, [](const auto& running) { return running->over; });
    step();
    std::erase_if(running_, [](const auto& running) { return running->over; });
  }
  for (const auto& running : running_)
    abandon(*running, fail(ErrorKind::cancelled, "the engine is shutting down"));
}

// False: the end. Otherwise something has arrived, is running or was cancelled.
bool LocalEngine::wait_for_work(std::vector<SequenceHandle>& cancelled) {
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [this] {
    return stopping_ || !arrivals_.empty() || !cancellations_.empty() || !running_.empty();
  });
  std::move(arrivals_.begin(), arrivals_.end(), std::back_inserter(running_));
  arrivals_.clear();
  cancelled = std::exchange(cancellations_, {});
  return !stopping_;
}

// One forward pass over the rows that are due.
void LocalEngine::step() {
  std::vector<std::size_t> pending;
  for (const auto& running : running_) pending.push_back(running->sequence.pending());
  const std::vector<std::size_t> shares = share_rows(pending, parts_.max_rows);

  std::vector<Running*> members;
  std::vector<ForwardRows> batch;
  for (const bool embeds : {false, true})  // so that the states which tokens are chosen from lie side by side
    for (std::size_t i = 0; i < running_.size(); ++i) {
      if (shares[i] == 0 || running_[i]->sequence.embeds() != embeds) continue;
      members.push_back(running_[i].get());
      batch.push_back(running_[i]->sequence.next_rows(shares[i]));
    }
  if (batch.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    ++counters_.passes;
    for (const ForwardRows& rows : batch) counters_.prompt_rows += rows.tokens.size();
  }
  const std::span<const ForwardResult> results = parts_.forward->run(batch);
  for (std::size_t i = 0; i < members.size(); ++i)
    if (!results[i].failed) share(*members[i]);
  deliver(members, results);
}

// Lets later sequences find the pages that are full now.
void LocalEngine::share(Running& running) {
  const std::span<const TokenId> computed = running.sequence.computed();
  if (!running.keys || computed.size() / kPagePositions == running.shared) return;
  running.keys->extend(computed);
  const std::lock_guard lock(mutex_);
  for (std::size_t& page = running.shared; page < computed.size() / kPagePositions; ++page)
    pool_.publish(running.sequence.pages[page], running.keys->keys()[page]);
}

void LocalEngine::deliver(std::span<Running* const> members, std::span<const ForwardResult> results) {
  struct Wanted {
    Running* running;
    std::size_t position;  // in the transcript
    ChoiceOrder order;
  };
  std::vector<Wanted> wanted;
  for (std::size_t i = 0; i < members.size(); ++i) {
    const Sequence& sequence = members[i]->sequence;
    if (sequence.embeds()) continue;
    for (std::size_t k = 0; k < results[i].outputs; ++k) {
      const std::size_t position = sequence.steps() + k;
      wanted.push_back(
          {members[i],
           position,
           {results[i].first_output + k,
            static_cast<std::uint32_t>(sequence.request().prompt.size() + position),
            &sequence.request().sampling, sequence.so_far(position), nullptr, sequence.logprobs()}});
    }
  }
  // In groups, so that the logits of a whole replay need not be in memory, nor be computed past its first
  // error.
  std::vector<ChoiceOrder> group;
  for (std::size_t begin = 0; begin < wanted.size(); begin += group.size()) {
    group.clear();
    while (begin < wanted.size() && wanted[begin].running->over) ++begin;
    for (std::size_t i = begin; i < wanted.size() && group.size() < kChoiceRows && !wanted[i].running->over;
         ++i) {
      group.push_back(wanted[i].order);
      group.back().allowed = wanted[i].running->sequence.allowed(wanted[i].position);
    }
    if (group.empty()) break;
    const std::span<const Result<Choice>> choices = chooser_.choose(group);
    for (std::size_t i = 0; i < choices.size(); ++i) {
      Running& running = *wanted[begin + i].running;
      if (running.over) continue;
      if (choices[i])
        take(running, *choices[i]);
      else
        abandon(running, choices[i].error());
    }
  }
  for (std::size_t i = 0; i < members.size(); ++i)
    if (members[i]->sequence.embeds()) embed(*members[i], results[i]);
  for (std::size_t i = 0; i < members.size(); ++i)
    if (results[i].failed && !members[i]->over)
      abandon(*members[i], fail(ErrorKind::internal, "a value inside the model is not finite"));
}

void LocalEngine::embed(Running& running, const ForwardResult& result) {
  Sequence& sequence = running.sequence;
  for (std::size_t k = 0; k < result.outputs; ++k)
    sequence.add_state(parts_.forward->hidden(result.first_output + k));
  if (result.failed || sequence.pending() > 0) return;
  const auto embedding = sequence.embedding();
  if (!embedding) return abandon(running, embedding.error());
  if (running.callbacks.on_embedding) running.callbacks.on_embedding(*embedding);
  take(running, {{kEmbeddingToken, position_digest(*embedding, kEmbeddingToken)}, nullptr});
}

void LocalEngine::take(Running& running, const Choice& choice) {
  Sequence& sequence = running.sequence;
  const std::size_t position = sequence.steps();
  const bool known = sequence.knows(position);
  const Sequence::Outcome outcome = sequence.take(choice);
  if (!known && !sequence.embeds()) {
    const std::lock_guard lock(mutex_);
    ++counters_.answer_rows;
    --counters_.prompt_rows;
  }
  if (outcome.error) return abandon(running, *outcome.error);
  if (!sequence.is_replay() && running.callbacks.on_step)
    running.callbacks.on_step(position, choice.step, choice.logprobs.get());
  if (!outcome.over()) return;
  release(running);
  if (outcome.result && running.on_result) running.on_result(*outcome.result);
  if (outcome.finished && running.callbacks.on_finish)
    running.callbacks.on_finish(*outcome.finished, sequence.root());
}

void LocalEngine::abandon(Running& running, const Error& error) {
  if (running.over) return;
  release(running);
  if (running.on_result) running.on_result(error);
  if (running.callbacks.on_error) running.callbacks.on_error(error);
}

// Before the last callback, so that whoever is called may submit again at once.
void LocalEngine::release(Running& running) {
  running.over = true;
  const std::lock_guard lock(mutex_);
  pool_.release(running.sequence.pages);
  --admitted_;
}

}  // namespace cortensor::engine
