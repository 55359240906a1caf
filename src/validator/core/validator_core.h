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
#include "protocol/sharing.h"
#include "verify/judge.h"

namespace cortensor::validator {

class ValidatorCore final : public protocol::NodeWork {
 public:
  // The engines and the key outlive the core; the executor outlives the engines.
  ValidatorCore(Executor& executor, const crypto::PrivateKey& key, std::vector<engine::Engine*> engines,
                std::uint32_t slots);
  ~ValidatorCore() override;

  // One for each router.
  void bind(protocol::Attachment& attachment) { sharing_.add(attachment); }

  void on_work(protocol::Attachment& router, protocol::RouterMessage message) override;
  void on_detached(protocol::Attachment& router) override;
  protocol::Heartbeat load(const protocol::Attachment& router) const override;
  std::uint32_t busy_slots() const { return static_cast<std::uint32_t>(running_.size()); }

 private:
  struct Running {
    protocol::Attachment* router = nullptr;
    engine::Engine* engine = nullptr;
    std::optional<engine::SequenceHandle> replay;  // none: waits for the engine
    std::uint64_t check = 0;
  };

  void check(protocol::Attachment& router, const protocol::Check& check);
  void start_waiting();
  // False: the engine has no room for it before another replay has ended.
  bool start(const protocol::Check& check, Running& running);
  void finish(const AttemptId& attempt, std::uint64_t number, const Digest& commitment,
              verify::Judgement found);
  void cancel(const protocol::Attachment& router, const AttemptId& attempt);
  void report(protocol::Attachment& router, const AttemptId& attempt, const Digest& commitment,
              verify::Judgement found);

  Executor& executor_;
  const crypto::PrivateKey& key_;
  std::vector<engine::Engine*> engines_;
  protocol::Sharing sharing_;
  std::unordered_map<AttemptId, Running> running_;
  std::deque<protocol::Check> waiting_;                     // of those, in the order of arrival
  std::map<const engine::Engine*, std::size_t> replaying_;  // cancelled ones too, until the engine lets go
  std::uint64_t checks_ = 0;  // tells a check from a later one of the same attempt
  std::shared_ptr<bool> alive_;
};

}  // namespace cortensor::validator
