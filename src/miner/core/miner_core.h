// What a miner decides: which engine runs an assignment of which router, what is sent when, and what it
// signs. Knows no transport, no files; lives on the executor.
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
#include "protocol/sharing.h"

namespace cortensor::miner {

class MinerCore final : public protocol::NodeWork {
 public:
  // The engines, in the order of the Hello, and the key outlive the core; the executor outlives the engines.
  MinerCore(Executor& executor, const crypto::PrivateKey& key, std::vector<engine::Engine*> engines,
            std::uint32_t slots);
  ~MinerCore() override;

  // One for each router.
  void bind(protocol::Attachment& attachment) { sharing_.add(attachment); }

  void on_work(protocol::Attachment& router, protocol::RouterMessage message) override;
  void on_detached(protocol::Attachment& router) override;
  protocol::Heartbeat load(const protocol::Attachment& router) const override {
    return sharing_.load(router, occupied());
  }
  std::uint32_t busy_slots() const { return static_cast<std::uint32_t>(attempts_.size()); }

 private:
  struct Attempt;

  void assign(protocol::Attachment& router, protocol::Assign assign);
  void cancel(const protocol::Attachment& router, const AttemptId& id);
  void flush(const std::shared_ptr<Attempt>& attempt);
  void finish(const std::shared_ptr<Attempt>& attempt, FinishReason reason, const Digest& root);
  protocol::Commitment commitment(const Attempt& attempt, std::optional<FinishReason> finish,
                                  const Digest& root) const;
  void give_up(const std::shared_ptr<Attempt>& attempt, const Error& error);
  void refuse(protocol::Attachment& router, const AttemptId& id, const Error& error);
  void end(const std::shared_ptr<Attempt>& attempt);
  bool is_current(const std::shared_ptr<Attempt>& attempt) const;
  std::vector<protocol::Occupied> occupied() const;

  Executor& executor_;
  const crypto::PrivateKey& key_;
  std::vector<engine::Engine*> engines_;
  protocol::Sharing sharing_;
  std::unordered_map<AttemptId, std::shared_ptr<Attempt>> attempts_;
  std::shared_ptr<bool> alive_;
};

}  // namespace cortensor::miner
