// Runs the lines of batches in the capacity that nobody else wants. On the executor; the store is asked on
// its own thread. What is in memory here is only what runs: a router that dies loses nothing of a batch,
// since a line's result, its payment and its being done are one transaction, under the epoch by which the
// router has the batch. Spec: docs/spec/http-api.md, 8
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>

#include "ledger/batch_thread.h"
#include "router/api/batch_input.h"
#include "router/api/batch_line.h"
#include "router/core/router_core.h"

namespace cortensor::router {

class BatchRunner {
 public:
  // Both outlive the runner.
  BatchRunner(RouterCore& core, ledger::BatchThread& store);
  ~BatchRunner() { *alive_ = false; }
  BatchRunner(const BatchRunner&) = delete;
  BatchRunner& operator=(const BatchRunner&) = delete;

  // From now on.
  void start() { tick(); }
  // Something about a batch has changed: does not wait for the next tick.
  void look();

 private:
  struct Running {
    TaskId task;
    std::shared_ptr<LineReply> reply;
    ledger::PendingLine line;
  };
  // A batch that this router has.
  struct Work {
    ledger::Batch batch;
    std::shared_ptr<BatchInput> input;   // while it is validated
    bool asking = false;                 // the store, about this batch
    const ServedModel* model = nullptr;  // once a line was read
    std::deque<ledger::PendingLine> ready;
    std::uint32_t next = 0;  // the first line that was not fetched
    bool all_fetched = false;
    std::map<std::uint32_t, Running> running;
    std::set<std::uint32_t> storing;              // lines whose refusal is being written
    std::map<std::uint32_t, std::size_t> losses;  // answers that came to nothing
    Clock::time_point miner_seen;                 // the last time that there was one for it
    Clock::time_point paused_until;
    std::size_t pauses = 0;  // one after the other

    bool idle() const { return running.empty() && storing.empty() && !asking; }
    void fetch_anew();
  };

  void tick();
  void take();
  void on_taken(const Result<std::vector<ledger::Batch>>& batches);
  void leave_to_others(Work& work);
  bool alone() const { return core_.options().session_lease == core_.options().session_lease.zero(); }
  bool has_miner(const ServedModel* model) const;
  void drop(const BatchId& batch);
  // Asks the store about a batch; `use` gets the answer if the batch is still ours.
  template <class Ask, class Use>
  void ask(Work& work, Ask ask, Use use);

  void advance(Work& work);
  void validate(Work& work, std::int64_t piece);
  void add_lines(Work& work, std::size_t from);
  void fetch(Work& work);
  void wind_up(Work& work, std::string_view code, std::string_view why);
  void end(Work& work, bool expired);

  // Starts lines of all batches in turns while there is room.
  void fill();
  bool start_line(Work& work);
  bool has_room(const ServedModel& model) const;
  void on_line_ended(const LineName& name, const LineReply::End& end);
  void lost(Work& work, ledger::PendingLine line, const Error& why);
  void refuse(Work& work, const ledger::PendingLine& line, const ApiError& why);
  void store(Work& work, std::vector<ledger::LineResult> results);
  void pause(Work& work);
  void fill_later();

  Work* find(const BatchId& batch);
  static LineName name_of(const Work& work, const ledger::PendingLine& line);
  WallTime wall_now() const { return core_.executor().wall_now(); }

  RouterCore& core_;
  ledger::BatchThread& store_;
  std::map<BatchId, Work> works_;
  BatchId last_served_;  // whose turn is over
  Clock::time_point next_take_, next_sweep_;
  bool taking_ = false;
  bool take_again_ = false;
  bool filling_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // false once destroyed: callbacks look first
};

}  // namespace cortensor::router
