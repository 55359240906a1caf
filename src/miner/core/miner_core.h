// What a miner decides: which engine runs an assignment, what is sent when, and what it signs. Knows no
// transport, no clock, no files; lives on the executor.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/runtime/executor.h"
#include "crypto/ed25519.h"
#include "engine/engine.h"
#include "protocol/attachment.h"

namespace cortensor::miner {

class MinerCore final : public protocol::NodeWork {
 public:
  // The engines and the key outlive the core; the executor outlives the engines.
  MinerCore(Executor& executor, const crypto::PrivateKey& key, std::vector<engine::Engine*> engines);
  ~MinerCore() override;

  void bind(protocol::Attachment& attachment) { attachment_ = &attachment; }

  void on_work(protocol::RouterMessage message) override;
  void on_detached() override;
  std::uint32_t busy_slots() const override { return static_cast<std::uint32_t>(attempts_.size()); }

 private:
  struct Attempt;

  void assign(protocol::Assign assign);
  void cancel(const AttemptId& id);
  void flush(const std::shared_ptr<Attempt>& attempt);
  void finish(const std::shared_ptr<Attempt>& attempt, FinishReason reason, const Digest& root);
  protocol::Commitment commitment(const Attempt& attempt, std::optional<FinishReason> finish,
                                  const Digest& root) const;
  void give_up(const std::shared_ptr<Attempt>& attempt, const Error& error);
  void refuse(const AttemptId& id, const Error& error);
  bool is_current(const std::shared_ptr<Attempt>& attempt) const;

  Executor& executor_;
  const crypto::PrivateKey& key_;
  std::vector<engine::Engine*> engines_;
  protocol::Attachment* attachment_ = nullptr;
  std::unordered_map<AttemptId, std::shared_ptr<Attempt>> attempts_;
  std::shared_ptr<bool> alive_;
};

}  // namespace cortensor::miner
