// Who waits for a miner or a validator: admission, the queue's estimates, and giving work to whoever is free.
#include <algorithm>

#include "base/log.h"
#include "base/metrics.h"
#include "router/core/task_table.h"

namespace cortensor::router {
namespace {

constexpr std::chrono::seconds kTellInterval{1};

void count_refusal(QueueClass queue_class, std::string_view reason) {
  metrics::counter(
      "cortensor_router_refused_total", "Requests for which the queue was too long",
      "class=\"" + std::string(to_string(queue_class)) + "\",reason=\"" + std::string(reason) + "\"")
      .add();
}

std::string seconds_of(Clock::duration time) {
  return std::to_string(std::chrono::ceil<std::chrono::seconds>(time).count()) + " s";
}

}  // namespace

Clock::duration TaskTable::usual_patience(QueueClass queue_class) const {
  return queue_class == QueueClass::batch ? context_.options.batch_queue_timeout
                                          : context_.options.queue_timeout;
}

TaskTable::Demand TaskTable::demand_of(const TaskSpec& spec) const {
  const Clock::duration patience = spec.deadline ? *spec.deadline : usual_patience(spec.queue_class);
  return {spec.model->manifest.weights, spec.queue_class, spec.requests.size(), patience};
}

// So many choices more than there is room for.
std::size_t TaskTable::excess(const Demand& demand) const {
  const CoreOptions& options = context_.options;
  const std::size_t most =
      demand.queue_class == QueueClass::batch ? options.max_queued_batch : options.max_queued;
  const std::size_t room = most + context_.nodes.free_slots(demand.model);
  const std::size_t all = waiting_.size(demand.model, demand.queue_class) + demand.choices;
  return all > room ? all - room : 0;
}

Status TaskTable::room_for(const Demand& demand) const {
  if (excess(demand) > 0) {
    count_refusal(demand.queue_class, "full");
    return fail(ErrorKind::overloaded, "all miners are busy and " +
                                           std::to_string(waiting_.size(demand.model, demand.queue_class)) +
                                           " answers wait already; try again later");
  }
  const Standing standing =
      waiting_.newcomer({{}, demand.model, demand.queue_class, demand.patience}, context_.executor.now());
  if (standing.measurements < kEnoughToRefuse || standing.eta <= demand.patience ||
      anybody_free(protocol::Role::miner, demand.model))
    return ok();
  count_refusal(demand.queue_class, "hopeless");
  return fail(ErrorKind::overloaded, "no miner is expected to be free in " + seconds_of(demand.patience) +
                                         ", only in " + seconds_of(standing.eta) + "; try again later");
}

Clock::duration TaskTable::time_to_room(const Demand& demand) const {
  const Clock::time_point now = context_.executor.now();
  const Standing standing = waiting_.newcomer({{}, demand.model, demand.queue_class, demand.patience}, now);
  const auto full = static_cast<Clock::rep>(excess(demand)) * waiting_.interval(demand.model, now);
  return std::max(full, standing.eta - demand.patience);
}

std::optional<Standing> TaskTable::standing(const TaskId& id) const {
  const auto task = tasks_.find(id);
  if (task == tasks_.end()) return std::nullopt;
  const auto begun = [](const auto& choice) { return choice->started > 0 || !choice->attempts.empty(); };
  if (std::any_of(task->second->choices.begin(), task->second->choices.end(), begun)) return std::nullopt;
  return waiting_.standing(id, context_.executor.now());
}

void TaskTable::wait_for_miner(const Task& task, Choice& choice, bool first) {
  const Clock::time_point now = context_.executor.now();
  const Demand demand = demand_of(task.spec);
  if (waiting_.push({{task.id, choice.index}, demand.model, demand.queue_class, demand.patience}, now,
                    first) &&
      !choice.refused)
    choice.waiting_since = now;
}

void TaskTable::wait_for_validator(const Task& task, const Choice& choice, bool first) {
  unchecked_.push({{task.id, choice.index},
                   task.spec.model->manifest.weights,
                   QueueClass::interactive,
                   context_.options.check_timeout},
                  context_.executor.now(), first);
}

// What to say once nobody can have any more patience. It is asked often, so the nodes are counted last.
std::optional<Error> TaskTable::waited_in_vain(const Task& task, const Choice& choice) const {
  const Clock::time_point now = context_.executor.now();
  const Clock::duration waited = now - choice.waiting_since;
  const auto& deadline = task.spec.deadline;
  const bool impatient = deadline && choice.started == 0 ? now - task.spec.received >= *deadline
                                                         : waited >= usual_patience(task.spec.queue_class);
  if (!impatient && waited < context_.options.stall_timeout) return std::nullopt;
  const bool attached = context_.nodes.count(protocol::Role::miner, task.spec.model->manifest.weights) > 0;
  if (!attached && waited >= context_.options.stall_timeout)
    return fail(ErrorKind::unavailable, "all miners have left; nothing was charged");
  if (!impatient) return std::nullopt;
  if (choice.attempts.empty()) count_refusal(task.spec.queue_class, "waited");
  return fail(ErrorKind::overloaded, "no miner became free in time; nothing was charged");
}

bool TaskTable::anybody_free(protocol::Role role, const Digest& model) const {
  return std::any_of(context_.nodes.nodes().begin(), context_.nodes.nodes().end(), [&](const auto& entry) {
    const AttachedNode& node = entry.second;
    return node.role == role && node.free() && node.model(model) != nullptr;
  });
}

void TaskTable::pump() {
  waiting_.wake();
  unchecked_.wake();
  serve_waiting();
}

void TaskTable::serve_waiting() {
  using Answer = WaitingLine::Answer;
  const Clock::time_point now = context_.executor.now();
  const auto in_vain = [this](protocol::Role role, const Task& task) {
    return anybody_free(role, task.spec.model->manifest.weights) ? Answer::unfit : Answer::none;
  };
  waiting_.serve(now, [&](const Place& place) {
    const auto found = find(place);
    if (!found || found->choice->phase != Choice::Phase::answering) return Answer::gone;
    Choice& choice = *found->choice;
    if (choice.attempts.size() >= choice.copies) return Answer::gone;
    if (!start_attempt(*found->task, choice)) return in_vain(protocol::Role::miner, *found->task);
    return choice.attempts.size() < choice.copies ? Answer::more : Answer::served;
  });
  unchecked_.serve(now, [&](const Place& place) {
    const auto found = find(place);
    if (!found || found->choice->phase != Choice::Phase::checking || found->choice->checker)
      return Answer::gone;
    if (!start_check(*found->task, *found->choice)) return in_vain(protocol::Role::validator, *found->task);
    return Answer::served;
  });
}

// A client that streams is told while it waits; the others' refusals have an estimate that is still true.
void TaskTable::tell_waiting() {
  const Clock::time_point now = context_.executor.now();
  if (now < next_told_) return;
  next_told_ = now + kTellInterval;
  for (const auto& [id, task] : tasks_)
    if (task->listener && now - task->spec.received >= kTellInterval)
      if (const auto at = standing(id)) task->listener->on_waiting(*at);
}

}  // namespace cortensor::router
