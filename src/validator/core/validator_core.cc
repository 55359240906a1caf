#include "validator/core/validator_core.h"

#include <algorithm>
#include <set>

#include "protocol/canonical.h"

namespace cortensor::validator {

ValidatorCore::ValidatorCore(Executor& executor, const crypto::PrivateKey& key,
                             std::vector<engine::Engine*> engines, std::uint32_t slots)
    : executor_(executor),
      key_(key),
      engines_(std::move(engines)),
      sharing_(executor, slots),
      alive_(std::make_shared<bool>(true)) {}

ValidatorCore::~ValidatorCore() {
  *alive_ = false;
  for (const auto& [attempt, running] : running_)
    if (running.replay) running.engine->cancel(*running.replay);
}

void ValidatorCore::on_work(protocol::Attachment& router, protocol::RouterMessage message) {
  if (const auto* wanted = std::get_if<protocol::Check>(&message))
    check(router, *wanted);
  else if (const auto* unwanted = std::get_if<protocol::Cancel>(&message))
    cancel(router, unwanted->attempt);
}

void ValidatorCore::on_detached(protocol::Attachment& router) {
  std::vector<AttemptId> gone;
  for (const auto& [attempt, running] : running_)
    if (running.router == &router) gone.push_back(attempt);
  for (const AttemptId& attempt : gone) cancel(router, attempt);
}

protocol::Heartbeat ValidatorCore::load(const protocol::Attachment& router) const {
  std::vector<protocol::Occupied> all;
  for (const auto& [attempt, running] : running_) all.push_back({running.router, 0, 0});
  return sharing_.load(router, all);
}

void ValidatorCore::check(protocol::Attachment& router, const protocol::Check& check) {
  const AttemptId attempt = check.commitment.attempt;
  sharing_.asked(router);
  cancel(router, attempt);  // asked again, it counts as new
  const auto engine = std::find_if(engines_.begin(), engines_.end(), [&](const engine::Engine* candidate) {
    return candidate->info().weights_digest == check.model;
  });
  const char* obstacle = engine == engines_.end()                   ? "this validator does not have the model"
                         : check.commitment.miner == key_.node_id() ? "my own work"
                         : running_.contains(attempt)               ? "under check for another router"
                                                                    : nullptr;
  if (obstacle != nullptr)
    return report(router, attempt, protocol::commitment_digest(check.commitment),
                  {protocol::Outcome::inconclusive, 0, obstacle});

  running_[attempt] = {&router, *engine, std::nullopt, ++checks_};
  sharing_.changed();
  waiting_.push_back(check);
  start_waiting();
}

void ValidatorCore::start_waiting() {
  std::set<const engine::Engine*> full;
  std::erase_if(waiting_, [&](const protocol::Check& check) {
    Running& running = running_.at(check.commitment.attempt);
    if (full.contains(running.engine)) return false;  // no overtaking
    const bool started = start(check, running);
    if (!started) full.insert(running.engine);
    return started;
  });
}

bool ValidatorCore::start(const protocol::Check& check, Running& running) {
  std::size_t& busy = replaying_[running.engine];
  // The engine may answer after this core is gone: its thread only posts, and what it posts looks first.
  const auto on_result = [this, executor = &executor_, alive = alive_, attempt = check.commitment.attempt,
                          number = running.check, &busy,
                          commitment =
                              protocol::commitment_digest(check.commitment)](verify::Judgement found) {
    executor->post([=, this, &busy, found = std::move(found)]() mutable {
      if (!*alive) return;
      --busy;
      finish(attempt, number, commitment, std::move(found));
      start_waiting();
    });
  };
  ++busy;
  auto replay = verify::judge(*running.engine, check, on_result);
  if (replay) {
    running.replay = *replay;
  } else if (busy > 1) {
    --busy;
    return false;
  } else {  // nothing will end that it could wait for
    on_result({protocol::Outcome::inconclusive, 0, replay.error().message});
  }
  return true;
}

void ValidatorCore::finish(const AttemptId& attempt, std::uint64_t number, const Digest& commitment,
                           verify::Judgement found) {
  const auto at = running_.find(attempt);
  if (at == running_.end() || at->second.check != number) return;  // cancelled or detached meanwhile
  protocol::Attachment& router = *at->second.router;
  running_.erase(at);
  sharing_.changed();
  report(router, attempt, commitment, std::move(found));
}

void ValidatorCore::cancel(const protocol::Attachment& router, const AttemptId& attempt) {
  const auto at = running_.find(attempt);
  if (at == running_.end() || at->second.router != &router) return;
  if (at->second.replay) at->second.engine->cancel(*at->second.replay);
  running_.erase(at);
  std::erase_if(waiting_, [&](const protocol::Check& one) { return one.commitment.attempt == attempt; });
  sharing_.changed();
}

void ValidatorCore::report(protocol::Attachment& router, const AttemptId& attempt, const Digest& commitment,
                           verify::Judgement found) {
  protocol::Verdict verdict;
  verdict.commitment = commitment;
  verdict.method = protocol::Method::replay;
  verdict.outcome = found.outcome;
  verdict.first_wrong = found.first_wrong;
  verdict.reason = std::move(found.reason);
  verdict.reason.resize(std::min(verdict.reason.size(), protocol::kMaxReasonBytes));
  verdict.validator = key_.node_id();
  verdict.signature = key_.sign(protocol::signed_bytes(verdict));
  router.send(protocol::CheckResult{attempt, std::move(verdict)});
}

}  // namespace cortensor::validator
