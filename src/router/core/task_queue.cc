// Who waits for a miner or a validator, and in what order.
#include <algorithm>
#include <map>

#include "router/core/task_table.h"

namespace cortensor::router {

void TaskTable::wait_for_miner(const Task& task, Choice& choice, bool first) {
  const Place place{task.id, choice.index};
  if (std::find(waiting_.begin(), waiting_.end(), place) != waiting_.end()) return;
  if (choice.busy == 0) choice.waiting_since = context_.executor.now();
  waiting_.insert(first ? waiting_.begin() : turn_of(task.id), place);
}

// Tasks take turns: a task's second choice comes after the first ones of all, and so on.
std::deque<TaskTable::Place>::const_iterator TaskTable::turn_of(const TaskId& task) const {
  const auto own =
      std::count_if(waiting_.begin(), waiting_.end(), [&](const Place& place) { return place.task == task; });
  std::map<TaskId, std::ptrdiff_t> seen;
  return std::find_if(waiting_.begin(), waiting_.end(),
                      [&](const Place& place) { return seen[place.task]++ > own; });
}

void TaskTable::pump() {
  const Clock::time_point now = context_.executor.now();
  for (std::size_t i = 0; i < waiting_.size();) {
    const auto found = find(waiting_[i]);
    bool done = !found || found->choice->phase != Choice::Phase::answering;
    while (!done && found->choice->not_before <= now && start_attempt(*found->task, *found->choice))
      done = found->choice->attempts.size() >= found->choice->copies;
    if (done)
      waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
    else
      ++i;
  }
  for (std::size_t i = 0; i < unchecked_.size();) {
    const auto found = find(unchecked_[i]);
    const bool done = !found || found->choice->phase != Choice::Phase::checking || found->choice->checker ||
                      start_check(*found->task, *found->choice);
    if (done)
      unchecked_.erase(unchecked_.begin() + static_cast<std::ptrdiff_t>(i));
    else
      ++i;
  }
}

}  // namespace cortensor::router
