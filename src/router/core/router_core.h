// The router without its surroundings: who may attach, what clients may have, and the state behind both.
// Lives on the executor; the shell gives it a transport, a ledger, and the HTTP side.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/runtime/executor.h"
#include "crypto/ed25519.h"
#include "ledger/ledger.h"
#include "protocol/link.h"
#include "router/core/allocator.h"
#include "router/core/catalogue.h"
#include "router/core/conduct.h"
#include "router/core/decision_log.h"
#include "router/core/node_table.h"
#include "router/core/options.h"
#include "router/core/receipt_store.h"
#include "router/core/session_book.h"
#include "router/core/task_table.h"

namespace cortensor::router {

class RouterCore final : public protocol::RouterLinkEvents {
 public:
  // All references outlive the core.
  RouterCore(CoreOptions options, const Catalogue& catalogue, const crypto::PrivateKey& key,
             Executor& executor, ledger::Ledger& ledger, ledger::Settler& settler,
             protocol::RouterLinks& links);
  ~RouterCore() override;
  RouterCore(const RouterCore&) = delete;
  RouterCore& operator=(const RouterCore&) = delete;

  // Starts the clock: expired sessions are released at once, slow work is found from now on.
  void start();
  // No new work; what runs may end.
  void drain() { draining_ = true; }

  // Refuses what the model cannot run, then TaskTable::submit.
  Result<TaskId> submit(TaskSpec spec, std::shared_ptr<TaskListener> listener);
  void cancel(const TaskId& task) { tasks_.cancel(task); }
  void abandon_all(const Error& why) { tasks_.abandon_all(why); }

  void on_hello(protocol::LinkId link, const NodeId& peer, protocol::Hello hello) override;
  void on_message(protocol::LinkId link, protocol::NodeMessage message) override;
  void on_closed(protocol::LinkId link, const Error& why) override;

  const CoreOptions& options() const { return options_; }
  const Catalogue& catalogue() const { return catalogue_; }
  const NodeTable& nodes() const { return nodes_; }
  const ReceiptStore& receipts() const { return receipts_; }
  const DecisionLog& decisions() const { return decisions_; }
  const NodeId& id() const { return id_; }
  ledger::Ledger& ledger() { return ledger_; }
  SessionBook& sessions() { return sessions_; }
  Executor& executor() { return executor_; }
  std::size_t tasks() const { return tasks_.tasks(); }
  std::size_t waiting() const { return tasks_.waiting().size(); }
  const TaskTable& task_table() const { return tasks_; }

 private:
  Result<AttachedNode> admit(protocol::LinkId link, const protocol::Hello& hello);
  void schedule_tick();
  void tick();
  void look_around();

  const CoreOptions options_;
  const Catalogue& catalogue_;
  Executor& executor_;
  ledger::Ledger& ledger_;
  protocol::RouterLinks& links_;
  NodeId id_;
  NodeTable nodes_;
  Allocator allocator_;
  Conduct conduct_;
  SessionBook sessions_;
  ReceiptStore receipts_;
  DecisionLog decisions_;
  TaskTable tasks_;
  Clock::time_point next_expiry_check_;
  bool draining_ = false;
  std::shared_ptr<bool> alive_;  // false once destroyed: timers look first
};

}  // namespace cortensor::router
