// What a validator decides: it replays what it is asked to check and signs what it found. Lives on the
// executor.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/runtime/executor.h"
#include "crypto/ed25519.h"
#include "engine/engine.h"
#include "protocol/attachment.h"
#include "verify/judge.h"

namespace cortensor::validator {

class ValidatorCore final : public protocol::NodeWork {
 public:
  // The engines and the key outlive the core; the executor outlives the engines.
  ValidatorCore(Executor& executor, const crypto::PrivateKey& key, std::vector<engine::Engine*> engines);
  ~ValidatorCore() override;

  void bind(protocol::Attachment& attachment) { attachment_ = &attachment; }

  void on_work(protocol::RouterMessage message) override;
  void on_detached() override;
  std::uint32_t busy_slots() const override { return static_cast<std::uint32_t>(running_.size()); }

 private:
  struct Running {
    engine::Engine* engine = nullptr;
    std::optional<engine::SequenceHandle> replay;  // none: waits for the engine
    std::uint64_t check = 0;
  };

  void check(const protocol::Check& check);
  void start_waiting();
  // False: the engine has no room for it before another replay has ended.
  bool start(const protocol::Check& check, Running& running);
  void finish(const AttemptId& attempt, std::uint64_t number, const Digest& commitment,
              verify::Judgement found);
  void cancel(const AttemptId& attempt);
  void report(const AttemptId& attempt, const Digest& commitment, verify::Judgement found);

  Executor& executor_;
  const crypto::PrivateKey& key_;
  std::vector<engine::Engine*> engines_;
  protocol::Attachment* attachment_ = nullptr;
  std::unordered_map<AttemptId, Running> running_;
  std::deque<protocol::Check> waiting_;                     // of those, in the order of arrival
  std::map<const engine::Engine*, std::size_t> replaying_;  // cancelled ones too, until the engine lets go
  std::uint64_t checks_ = 0;  // tells a check from a later one of the same attempt
  std::shared_ptr<bool> alive_;
};

}  // namespace cortensor::validator
