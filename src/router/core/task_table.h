// The tasks in flight, as a state machine. Events come in (a client's request, a node's message, the clock),
// state changes, messages to nodes and calls to listeners go out.
//
//   answering:  waits for a miner -> attempts run -> every wanted attempt has submitted
//   checking:   waits for a validator -> replay runs -> verdict, or too late
//   closed:     once all choices are, the ledger is asked to pay, and the task is done when it has
//   cancelled:  the client went before the answer was complete; nothing is paid for it
//
// A lost attempt (link closed, failure, stall, breach of the protocol) is replaced by another miner's, which
// gets the delivered tokens and goes on behind them; the tokens that it has signed are its own. If it objects
// to these, another is asked; whoever goes on all the same has its answer checked, and a second objection
// ends the task. If a choice cannot be answered, the task fails as a whole and costs nothing. Spec:
// docs/spec/http-api.md, 5.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/runtime/executor.h"
#include "crypto/ed25519.h"
#include "ledger/ledger.h"
#include "ledger/settler.h"
#include "protocol/link.h"
#include "protocol/message.h"
#include "router/core/allocator.h"
#include "router/core/conduct.h"
#include "router/core/decision_log.h"
#include "router/core/node_table.h"
#include "router/core/options.h"
#include "router/core/receipt_store.h"
#include "router/core/session_book.h"
#include "router/core/task.h"
#include "router/core/waiting_line.h"

namespace cortensor::router {

// What the tasks work with; all of it outlives the table.
struct TaskContext {
  const CoreOptions& options;
  const crypto::PrivateKey& key;
  Executor& executor;
  ledger::Ledger& ledger;
  ledger::Settler& settler;
  protocol::RouterLinks& links;
  NodeTable& nodes;
  Allocator& allocator;
  DecisionLog& decisions;
  Conduct& conduct;
  SessionBook& sessions;
  ReceiptStore& receipts;
};

// How many attempts of a choice run at the same time in this session.
std::uint32_t copies_of(const ledger::SessionSpec& session);
// The most that these requests can cost in this session.
Result<Credits> worst_case(const ledger::SessionSpec& session, ledger::Price price,
                           std::span<const GenerationRequest> requests);

class TaskTable {
 public:
  explicit TaskTable(TaskContext context);
  ~TaskTable() { *alive_ = false; }

  // Reserves the worst case and starts. unavailable: no miner (or too few) could do it; overloaded: the queue
  // is full, or too long for the deadline; the errors of SessionBook::reserve.
  Result<TaskId> submit(TaskSpec spec, std::shared_ptr<TaskListener> listener);
  // The client has gone. Answers that are incomplete are stopped, unpaid, and no longer reserved for; those
  // that are complete are checked and settled.
  void cancel(const TaskId& task);

  void on_steps(protocol::LinkId link, const protocol::Steps& message);
  void on_segment(protocol::LinkId link, const protocol::Segment& message);
  void on_submission(protocol::LinkId link, const protocol::Submission& message);
  void on_attempt_failed(protocol::LinkId link, const protocol::AttemptFailed& message);
  void on_check_result(protocol::LinkId link, const protocol::CheckResult& message);
  void on_node_gone(protocol::LinkId link);

  // Gives waiting work to nodes, after something may have become free.
  void pump();
  // Finds what took too long.
  void tick();
  // Fails what is in flight: the router stops.
  void abandon_all(const Error& why);

  std::size_t tasks() const { return tasks_.size(); }
  const WaitingLine& waiting() const { return waiting_; }  // for a miner

  // Where a task stands that nothing has been done for yet; none: it has begun.
  std::optional<Standing> standing(const TaskId& task) const;
  // What a request asks of the queue.
  struct Demand {
    Digest model{};
    QueueClass queue_class = QueueClass::interactive;
    std::size_t choices = 0;
    Clock::duration patience{};
  };
  Demand demand_of(const TaskSpec& spec) const;
  // When the queue is expected to have room for it, and it a hope to be served in time.
  Clock::duration time_to_room(const Demand& demand) const;

 private:
  // What a task becomes once the ledger has paid it.
  struct Settled {
    TaskResult result;
    std::vector<protocol::Receipt> receipts;
  };
  struct Found {
    Task* task = nullptr;
    Choice* choice = nullptr;
    Attempt* attempt = nullptr;
  };
  // Adds the time of its life to the task's, if that still exists then.
  class Stopwatch {
   public:
    Stopwatch(TaskTable& table, TaskId task)
        : table_(table), task_(std::move(task)), began_(table.context_.executor.now()) {}
    ~Stopwatch();

   private:
    TaskTable& table_;
    const TaskId task_;
    const Clock::time_point began_;
  };

  Task* find(const TaskId& task);
  std::optional<Found> find(const Place& place);
  // The attempt, when it runs on this link; a message of a stranger, or after the submission, is a strike.
  std::optional<Found> find(protocol::LinkId link, const AttemptId& attempt);

  // Waiting (task_queue.cc).
  Clock::duration usual_patience(QueueClass queue_class) const;
  Status room_for(const Demand& demand) const;
  std::size_t excess(const Demand& demand) const;
  void wait_for_miner(const Task& task, Choice& choice, bool first);
  void wait_for_validator(const Task& task, const Choice& choice, bool first);
  void serve_waiting();
  std::optional<Error> waited_in_vain(const Task& task, const Choice& choice) const;
  bool anybody_free(protocol::Role role, const Digest& model) const;
  void tell_waiting();

  // Answering (task_table.cc).
  Bytes32 cache_salt(const AccountId& account, const NodeId& miner) const;
  AttachedNode* choose_miner(const Task& task, Choice& choice, std::size_t given, Decision& decision);
  bool start_attempt(Task& task, Choice& choice);
  void deliver(Task& task, Choice& choice);
  void drop_attempt(Choice& choice, Attempt& attempt, bool tell);
  void lose_attempt(const Found& at, const Error& why, bool tell);
  void breach(const Found& at, const Error& why, bool tell);
  bool let_go(protocol::LinkId link, const AttemptId& attempt);
  void object(const Found& at, bool tell);
  bool refuted(Choice& choice, const NodeId& objector);
  bool take_back(Task& task, Choice& choice, const NodeId& objector, std::size_t agreed);
  bool take_back_for_another(Task& task, Choice& choice);
  bool find_lead(Task& task, Choice& choice);
  bool contested(const Choice& choice) const;
  void doubt(const Task& task, const NodeId& miner);
  bool promote(Task& task, Choice& choice);
  std::chrono::milliseconds prefill_patience(const Task& task, protocol::LinkId link, std::size_t tokens,
                                             std::chrono::milliseconds least) const;
  void check_times(const Place& place);

  // Hedging (task_hedge.cc).
  void earn_hedge();
  void hedge_if_late(Task& task, Choice& choice);
  void race(const Found& at);
  void end_race(const Task& task, Choice& choice);
  bool late(const Attempt& attempt) const;
  void decide_race(const Choice& choice, ledger::TaskOutcome outcome);

  // Checking and closing (task_checks.cc).
  void conclude(Task& task, Choice& choice);
  void sort_segments(Choice& choice) const;
  bool outvoted(Choice& choice, std::uint32_t enough) const;
  bool another_validator(const Task& task, const Choice& choice) const;
  void begin_check(Task& task, Choice& choice);
  bool start_check(Task& task, Choice& choice);
  void free_checker(protocol::LinkId link);
  void give_up_check(Task& task, Choice& choice, std::string_view reason);
  void close(Task& task, Choice& choice, ledger::TaskOutcome outcome);
  void decide_disputes(Choice& choice, ledger::TaskOutcome outcome);
  void settle_if_closed(Task& task);
  void settle(Task& task);
  std::optional<Credits> paid_before(const Task& task, const Choice& choice);
  Result<std::optional<ledger::Settlement>> bill(Task& task, Choice& choice, Settled& settled);
  void on_settled(const TaskId& id, Settled& settled, const Status& booked);
  protocol::Verdict own_verdict(const Choice& choice, protocol::Method method, protocol::Outcome outcome,
                                std::string_view reason) const;

  // Ends (task_table.cc).
  void fail_task(const TaskId& task, const Error& why);
  std::unique_ptr<Task> remove(const TaskId& task);
  void drop_all(Choice& choice);

  std::string name(std::string_view prefix) const;

  TaskContext context_;
  std::unordered_map<TaskId, std::unique_ptr<Task>> tasks_;
  std::unordered_map<AttemptId, Found> attempts_;
  std::unordered_map<AttemptId, Engagement> cancelled_;  // attempts whose miner has yet to let go
  WaitingLine waiting_;                                  // choices that want a miner
  WaitingLine unchecked_;                                // choices that want a validator
  Clock::time_point next_told_;                          // when those who wait hear where they stand
  double hedges_saved_ = 1;                              // second attempts that may be made
  Bytes32 salt_key_{};                                   // new at every start: a cache is not worth a file
  std::shared_ptr<bool> alive_;  // false once destroyed: the ledger's answers look first
};

}  // namespace cortensor::router
