#include "validator/core/validator_core.h"

#include <algorithm>

#include "protocol/canonical.h"
#include "verify/judge.h"

namespace cortensor::validator {

ValidatorCore::ValidatorCore(Executor& executor, const crypto::PrivateKey& key,
                             std::vector<engine::Engine*> engines)
    : executor_(executor), key_(key), engines_(std::move(engines)), alive_(std::make_shared<bool>(true)) {}

ValidatorCore::~ValidatorCore() {
  *alive_ = false;
  on_detached();
}

void ValidatorCore::on_work(protocol::RouterMessage message) {
  if (const auto* wanted = std::get_if<protocol::Check>(&message))
    check(*wanted);
  else if (const auto* unwanted = std::get_if<protocol::Cancel>(&message))
    cancel(unwanted->attempt);
}

void ValidatorCore::on_detached() {
  for (const auto& [attempt, running] : running_)
    if (running.replay) running.engine->cancel(*running.replay);
  running_.clear();
}

void ValidatorCore::check(const protocol::Check& check) {
  const AttemptId attempt = check.commitment.attempt;
  protocol::Verdict verdict;
  verdict.commitment = protocol::commitment_digest(check.commitment);
  verdict.method = protocol::Method::replay;

  const auto engine = std::find_if(engines_.begin(), engines_.end(), [&](const engine::Engine* candidate) {
    return candidate->info().weights_digest == check.model;
  });
  if (engine == engines_.end() || check.commitment.miner == key_.node_id()) {
    verdict.reason = engine == engines_.end() ? "this validator does not have the model" : "my own work";
    return report(attempt, std::move(verdict));
  }

  // The engine may answer after this core is gone: its thread only posts, and what it posts looks first.
  const std::uint64_t number = ++checks_;
  running_[attempt] = {*engine, std::nullopt, number};
  auto on_result = [this, executor = &executor_, alive = alive_, attempt, number,
                    verdict](verify::Judgement judgement) {
    executor->post([this, alive, attempt, number, verdict, judgement = std::move(judgement)]() mutable {
      if (!*alive) return;
      const auto at = running_.find(attempt);
      if (at == running_.end() || at->second.check != number) return;  // cancelled or detached meanwhile
      running_.erase(at);
      verdict.outcome = judgement.outcome;
      verdict.first_wrong = judgement.first_wrong;
      verdict.reason = std::move(judgement.reason);
      report(attempt, std::move(verdict));
    });
  };
  running_[attempt].replay = verify::judge(**engine, check, std::move(on_result));
}

void ValidatorCore::cancel(const AttemptId& attempt) {
  const auto at = running_.find(attempt);
  if (at == running_.end()) return;
  if (at->second.replay) at->second.engine->cancel(*at->second.replay);
  running_.erase(at);
}

void ValidatorCore::report(const AttemptId& attempt, protocol::Verdict verdict) {
  verdict.reason.resize(std::min(verdict.reason.size(), protocol::kMaxReasonBytes));
  verdict.validator = key_.node_id();
  verdict.signature = key_.sign(protocol::signed_bytes(verdict));
  attachment_->send(protocol::CheckResult{attempt, std::move(verdict)});
}

}  // namespace cortensor::validator
