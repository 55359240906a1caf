#include "router/api/batch_runner.h"

#include <algorithm>

#include "base/log.h"
#include "base/metrics.h"
#include "router/api/task_start.h"

namespace cortensor::router {
namespace {

constexpr std::chrono::milliseconds kTick{100};
constexpr std::chrono::seconds kTakeInterval{1}, kSweepInterval{10};
constexpr std::chrono::seconds kShyness{5};    // of a router without miners, before it takes a batch
constexpr std::chrono::seconds kPatience{30};  // with a batch for which it has no miner
constexpr std::chrono::seconds kLease{10};     // as long as a batch waits for a router that has died
constexpr std::size_t kFetched = 64;           // lines read ahead
constexpr std::size_t kStored = 500;           // lines in one transaction
constexpr std::size_t kMostWaiting = 8;        // batch work that waits for a miner already
constexpr std::size_t kLeastUnchecked = 4;     // answers that may wait for their check
constexpr std::size_t kSpared = 8;             // one slot in so many is left to others
constexpr std::size_t kStartedAtOnce = 16;     // lines, before others have their turn on the executor
constexpr std::size_t kMostLosses = 8;         // of one line
constexpr std::chrono::milliseconds kPause{500};
constexpr std::size_t kMostPauses = 6;  // doublings

// Another time it may succeed.
bool passes(ErrorKind kind) {
  return kind == ErrorKind::overloaded || kind == ErrorKind::unavailable || kind == ErrorKind::timed_out;
}

void count_line(std::string_view end) {
  metrics::counter("cortensor_router_batch_lines_total", "Lines of batches by their end",
                   "end=\"" + std::string(end) + "\"")
      .add();
}

}  // namespace

void BatchRunner::Work::fetch_anew() {
  ready.clear();
  next = 0;
  all_fetched = false;
}

BatchRunner::BatchRunner(RouterCore& core, ledger::BatchThread& store) : core_(core), store_(store) {}

BatchRunner::Work* BatchRunner::find(const BatchId& batch) {
  const auto found = works_.find(batch);
  return found == works_.end() ? nullptr : &found->second;
}

LineName BatchRunner::name_of(const Work& work, const ledger::PendingLine& line) {
  return {work.batch.id, work.batch.epoch, line.line, line.custom_id};
}

// ---- which batches ----

// Slots may have become free by others' doing.
void BatchRunner::tick() {
  const Clock::time_point now = core_.executor().now();
  if (now >= next_take_) {
    next_take_ = now + kTakeInterval;
    take();
    metrics::gauge("cortensor_router_batches", "Batches that this router works on")
        .set(static_cast<std::int64_t>(works_.size()));
  }
  if (now >= next_sweep_) {
    next_sweep_ = now + kSweepInterval;
    store_.run([at = wall_now()](ledger::BatchStore& store) {
      for (auto more = store.sweep(at); more && *more;) more = store.sweep(at);
    });
  }
  fill();
  core_.executor().at(now + kTick, [this, alive = alive_] {
    if (*alive) tick();
  });
}

void BatchRunner::look() {
  take_again_ = true;
  take();
}

void BatchRunner::take() {
  if (taking_) return;
  taking_ = true;
  take_again_ = false;
  const WallTime now = wall_now();
  const WallTime free = alone() || has_miner(nullptr) ? now : now - kShyness;
  store_.run([router = core_.id(), now, free](
                 ledger::BatchStore& store) { return store.take_batches(router, now + kLease, free, now); },
             [this, alive = alive_](const Result<std::vector<ledger::Batch>>& batches) {
               if (!*alive) return;
               taking_ = false;
               on_taken(batches);
               if (take_again_) take();
             });
}

// Without an answer nothing is known to be another's: what runs goes on, and is refused if it is.
void BatchRunner::on_taken(const Result<std::vector<ledger::Batch>>& batches) {
  if (!batches) return log::warning("batches_not_taken", {{"error", batches.error().message}});
  std::set<BatchId> ours;
  for (const ledger::Batch& batch : *batches) {
    ours.insert(batch.id);
    Work* known = find(batch.id);
    if (known != nullptr && known->batch.epoch != batch.epoch) {
      drop(batch.id);
      known = nullptr;
    }
    if (known == nullptr) {
      known = &works_[batch.id];
      known->miner_seen = core_.executor().now();
      log::info("batch_taken", {{"batch", batch.id.value}, {"state", ledger::to_string(batch.state)}});
    }
    known->batch = batch;
  }
  std::vector<BatchId> gone;
  for (const auto& [id, work] : works_)
    if (!ours.contains(id)) gone.push_back(id);
  for (const BatchId& id : gone) drop(id);
  for (const BatchId& id : ours) {
    if (Work* work = find(id)) advance(*work);
    if (Work* work = find(id)) leave_to_others(*work);
  }
  fill();
}

bool BatchRunner::has_miner(const ServedModel* model) const {
  const auto& nodes = core_.nodes().nodes();
  return std::any_of(nodes.begin(), nodes.end(), [&](const auto& one) {
    return one.second.role == protocol::Role::miner &&
           (model == nullptr || one.second.model(model->manifest.weights) != nullptr);
  });
}

// Another router may have a miner for it.
void BatchRunner::leave_to_others(Work& work) {
  const Clock::time_point now = core_.executor().now();
  if (has_miner(work.model)) work.miner_seen = now;
  if (alone() || !work.idle() || now - work.miner_seen < kPatience) return;
  ask(
      work,
      [id = work.batch.id, epoch = work.batch.epoch, at = wall_now()](ledger::BatchStore& store) {
        return store.give_back(id, epoch, at);
      },
      [this](Work& given, std::monostate) { drop(BatchId(given.batch.id)); });
}

void BatchRunner::drop(const BatchId& id) {
  const auto found = works_.extract(id);
  if (found.empty()) return;
  // An answer that is whole is left to be settled: it is refused if the line is another router's by now,
  // while nobody could say so of a task that was cancelled.
  for (const auto& [line, running] : found.mapped().running)
    if (!running.reply->committed()) core_.cancel(running.task);
}

template <class Ask, class Use>
void BatchRunner::ask(Work& work, Ask ask, Use use) {
  work.asking = true;
  store_.run(std::move(ask), [this, alive = alive_, id = work.batch.id, epoch = work.batch.epoch,
                              use = std::move(use)](auto answer) {
    if (!*alive) return;
    Work* asked = find(id);
    if (asked == nullptr || asked->batch.epoch != epoch) return;
    asked->asking = false;
    if (!answer && answer.error().kind == ErrorKind::cancelled) return drop(id);
    if (!answer) {
      log::warning("batch_store_fails", {{"batch", id.value}, {"error", answer.error().message}});
      asked->input = nullptr;
      asked->fetch_anew();
      return pause(*asked);  // a tick comes back to it
    }
    use(*asked, std::move(*answer));
  });
}

// ---- the life of one ----

void BatchRunner::advance(Work& work) {
  if (work.asking || core_.executor().now() < work.paused_until) return;
  using ledger::BatchState;
  if (work.batch.state == BatchState::cancelling)
    return wind_up(work, "batch_cancelled", "the batch was cancelled before this request was done");
  if (work.batch.spec.expiry <= wall_now())
    return wind_up(work, "batch_expired", "the completion window was over before this request was done");
  if (work.batch.state == BatchState::validating) {
    work.input = std::make_shared<BatchInput>(work.batch.spec.endpoint, core_.catalogue());
    return validate(work, 0);
  }
  if (!work.all_fetched && work.ready.size() < kFetched / 2) return fetch(work);
  if (work.all_fetched && work.ready.empty() && work.idle()) end(work, false);
}

void BatchRunner::validate(Work& work, std::int64_t piece) {
  ask(
      work,
      [file = work.batch.spec.input, piece,
       input = work.input](ledger::BatchStore& store) -> Result<std::optional<std::int64_t>> {
        const auto found = store.piece(file, piece);
        if (!found) return found.error();
        if (*found && input->feed(**found)) return std::optional((*found)->number + 1);
        input->end();
        return std::optional<std::int64_t>();
      },
      [this](Work& asked, std::optional<std::int64_t> next) {
        if (next) return validate(asked, *next);
        if (asked.input->good()) return add_lines(asked, 0);
        ask(
            asked,
            [id = asked.batch.id, epoch = asked.batch.epoch, faults = asked.input->faults(),
             now = wall_now()](ledger::BatchStore& store) {
              return store.fail_batch(id, epoch, faults, now);
            },
            [this](Work& failed, std::monostate) {
              log::info("batch_failed", {{"batch", failed.batch.id.value}});
              drop(BatchId(failed.batch.id));
            });
      });
}

void BatchRunner::add_lines(Work& work, std::size_t from) {
  ask(
      work,
      [id = work.batch.id, epoch = work.batch.epoch, input = work.input, from,
       now = wall_now()](ledger::BatchStore& store) -> Result<std::size_t> {
        const std::span<const ledger::LinePlace> all = input->lines();
        if (from == all.size()) {
          const Status begun = store.begin_batch(id, epoch, static_cast<std::uint32_t>(all.size()), now);
          return begun ? Result<std::size_t>(0) : begun.error();
        }
        if (from == 0)
          if (auto status = store.forget_lines(id, epoch); !status) return status.error();
        const auto some = all.subspan(from, std::min(kStored, all.size() - from));
        if (auto status = store.add_lines(id, epoch, some); !status) return status.error();
        return from + some.size();
      },
      [this](Work& asked, std::size_t next) {
        if (next > 0) return add_lines(asked, next);
        asked.input = nullptr;
        asked.batch.state = ledger::BatchState::in_progress;
        asked.batch.begun = wall_now();
        look();  // the store knows better: it may be cancelled by now
      });
}

void BatchRunner::fetch(Work& work) {
  ask(
      work,
      [batch = work.batch, from = work.next](ledger::BatchStore& store) {
        return store.pending(batch, from, kFetched);
      },
      [this](Work& asked, std::vector<ledger::PendingLine> lines) {
        asked.all_fetched = lines.size() < kFetched;
        if (!lines.empty()) asked.next = lines.back().line + 1;
        for (ledger::PendingLine& line : lines)
          if (!asked.running.contains(line.line) && !asked.storing.contains(line.line))
            asked.ready.push_back(std::move(line));
        advance(asked);
        fill_later();
      });
}

// Lets end what is as good as done, and writes of all other lines why they were not.
void BatchRunner::wind_up(Work& work, std::string_view code, std::string_view why) {
  work.ready.clear();
  std::erase_if(work.running, [&](const auto& one) {
    if (one.second.reply->committed()) return false;
    core_.cancel(one.second.task);
    return true;
  });
  if (!work.idle()) return;  // a tick comes back to it
  // The lines of one that is cancelled before it began are not all there, and nobody has counted them.
  const bool begun = work.batch.begun.has_value();
  ask(
      work,
      [batch = work.batch, begun, code, why](ledger::BatchStore& store) -> Result<std::size_t> {
        if (!begun) {
          const Status forgotten = store.forget_lines(batch.id, batch.epoch);
          return forgotten ? Result<std::size_t>(0) : forgotten.error();
        }
        const auto lines = store.pending(batch, 0, kStored);
        if (!lines) return lines.error();
        std::vector<ledger::LineResult> results;
        for (const ledger::PendingLine& line : *lines)
          results.push_back(untried_line({batch.id, batch.epoch, line.line, line.custom_id}, code, why));
        const Status stored = store.finish_lines(results);
        return stored ? Result<std::size_t>(lines->size()) : stored.error();
      },
      [this, code, why](Work& asked, std::size_t written) {
        if (written > 0) return wind_up(asked, code, why);
        end(asked, code == "batch_expired");
      });
}

void BatchRunner::end(Work& work, bool expired) {
  ask(
      work,
      [id = work.batch.id, epoch = work.batch.epoch, expired, now = wall_now()](ledger::BatchStore& store) {
        auto ended = store.end_batch(id, epoch, expired, now);
        // A line whose result could not be written is still there.
        if (!ended && ended.error().kind == ErrorKind::conflict) ended.error().kind = ErrorKind::unavailable;
        return ended;
      },
      [this](Work& asked, ledger::BatchState state) {
        log::info("batch_ended", {{"batch", asked.batch.id.value}, {"state", ledger::to_string(state)}});
        drop(BatchId(asked.batch.id));
      });
}

// ---- lines ----

void BatchRunner::fill_later() {
  if (filling_) return;
  filling_ = true;
  core_.executor().post([this, alive = alive_] {
    if (!*alive) return;
    filling_ = false;
    fill();
  });
}

void BatchRunner::fill() {
  std::size_t started = 0, in_vain = 0;
  // Each in its turn, until all in a row have nothing to start.
  for (auto at = works_.upper_bound(last_served_); in_vain < works_.size(); ++at) {
    if (at == works_.end()) at = works_.begin();
    if (started == kStartedAtOnce) return fill_later();
    last_served_ = at->first;
    if (start_line(at->second)) {
      ++started;
      in_vain = 0;
    } else {
      ++in_vain;
    }
  }
  for (auto& [id, work] : works_)
    if (!work.all_fetched && work.ready.size() < kFetched / 2) advance(work);
}

// Only slots that nobody else has taken, and not the last ones where there are many; and no more answers than
// validators keep up with, who check those of others as well.
bool BatchRunner::has_room(const ServedModel& model) const {
  const Digest& weights = model.manifest.weights;
  std::size_t miner_slots = 0, validator_slots = 0, answered = 0;
  for (const auto& [link, node] : core_.nodes().nodes())
    if (!node.quarantined && node.model(weights) != nullptr)
      (node.role == protocol::Role::miner ? miner_slots : validator_slots) += node.slots;
  for (const auto& [id, work] : works_)
    if (work.model == &model)
      answered += static_cast<std::size_t>(
          std::count_if(work.running.begin(), work.running.end(),
                        [](const auto& one) { return one.second.reply->committed(); }));
  return core_.nodes().free_slots(weights) > miner_slots / kSpared &&
         core_.task_table().waiting().size(weights, QueueClass::batch) < kMostWaiting &&
         answered < std::max(kLeastUnchecked, 2 * validator_slots);
}

bool BatchRunner::start_line(Work& work) {
  if (work.batch.state != ledger::BatchState::in_progress || work.ready.empty() ||
      core_.executor().now() < work.paused_until || work.batch.spec.expiry <= wall_now())
    return false;
  if (work.model != nullptr && !has_room(*work.model)) return false;

  ledger::PendingLine line = std::move(work.ready.front());
  work.ready.pop_front();
  const LineName name = name_of(work, line);
  const auto refused_as = [&](const ApiError& why) {
    refuse(work, line, why);
    return true;
  };
  auto call = parse_line(line.text, work.batch.spec.endpoint);
  if (!call) return refused_as(call.error());
  const ServedModel* model = core_.catalogue().find(call->model());
  if (model == nullptr || (work.model == nullptr && !has_room(*model))) {  // it may be, at another router
    work.model = model;
    work.ready.push_front(std::move(line));
    if (model == nullptr) pause(work);
    return false;
  }
  work.model = model;
  auto task = task_of_line(std::move(*call), name, core_.catalogue(), core_.options().arithmetic_version,
                           core_.executor().now(), work.batch.created);
  if (!task) return refused_as(task.error());

  auto reply =
      std::make_shared<LineReply>(name, task->reply, [this, alive = alive_, name](const LineReply::End& end) {
        if (*alive) on_line_ended(name, end);
      });
  const ledger::BatchSpec& spec = work.batch.spec;
  const auto started =
      start_task(core_, {spec.account, spec.key_id, spec.session}, std::move(task->spec), reply);
  if (!started) {
    const ErrorKind kind = started.error().error.kind;
    // What is reserved for others may come back.
    const bool waits_for_money =
        kind == ErrorKind::payment_required &&
        (!work.running.empty() || core_.sessions().reserved(spec.session) > Credits{});
    if (!passes(kind) && !waits_for_money) return refused_as(started.error());
    work.ready.push_front(std::move(line));
    pause(work);
    return false;
  }
  work.pauses = 0;
  reply->begin(*started, Standing{});
  const std::uint32_t number = line.line;
  work.running.insert_or_assign(number, Running{*started, std::move(reply), std::move(line)});
  return true;
}

void BatchRunner::on_line_ended(const LineName& name, const LineReply::End& end) {
  Work* work = find(name.batch);
  if (work == nullptr || work->batch.epoch != name.epoch) return;
  auto ended = work->running.extract(name.line);
  if (ended.empty()) return;
  if (end.error && end.error->kind == ErrorKind::cancelled) return drop(BatchId(name.batch));
  if (end.error) {
    lost(*work, std::move(ended.mapped().line), *end.error);
  } else if (!end.written) {
    lost(*work, std::move(ended.mapped().line),
         fail(ErrorKind::unavailable, "the answer was proven wrong; nothing was charged"));
  } else {
    count_line("completed");
    work->losses.erase(name.line);
    work->paused_until = {};
  }
  advance(*work);
  fill_later();
}

// Tried again, unless it would be the same again; the first in line, so that results come about in order.
void BatchRunner::lost(Work& work, ledger::PendingLine line, const Error& why) {
  // A conflict is of the moment when it was to be paid; the next attempt tells whether it lasts.
  if (!passes(why.kind) && why.kind != ErrorKind::conflict) return refuse(work, line, {why, {}});
  if (why.kind != ErrorKind::overloaded && ++work.losses[line.line] >= kMostLosses)
    return refuse(work, line, {why, {}});
  work.ready.push_front(std::move(line));
  pause(work);
}

void BatchRunner::refuse(Work& work, const ledger::PendingLine& line, const ApiError& why) {
  count_line("failed");
  store(work, {refused_line(name_of(work, line), why)});
}

void BatchRunner::store(Work& work, std::vector<ledger::LineResult> results) {
  for (const ledger::LineResult& result : results) work.storing.insert(result.line);
  store_.run(
      [results](ledger::BatchStore& store) { return store.finish_lines(results); },
      [this, alive = alive_, id = work.batch.id, epoch = work.batch.epoch, results](const Status& stored) {
        Work* asked = *alive ? find(id) : nullptr;
        if (asked == nullptr || asked->batch.epoch != epoch) return;
        for (const ledger::LineResult& result : results) asked->storing.erase(result.line);
        if (!stored && stored.error().kind == ErrorKind::cancelled) return drop(id);
        if (!stored) {
          asked->fetch_anew();
          pause(*asked);
        }
        advance(*asked);
      });
}

void BatchRunner::pause(Work& work) {
  work.paused_until = core_.executor().now() + kPause * (1 << std::min(work.pauses, kMostPauses));
  ++work.pauses;
}

}  // namespace cortensor::router
