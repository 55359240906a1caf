#include "router/core/decision_log.h"

namespace cortensor::router {

void DecisionLog::add(const AccountId& owner, const TaskId& task, Decision decision) {
  const auto [entry, fresh] = entries_.try_emplace(task, Entry{owner, {}});
  if (fresh) order_.push_back(task);
  if (entry->second.decisions.size() >= kMostDecisions) return;
  entry->second.decisions.push_back(std::move(decision));
  for (++decisions_; decisions_ > max_decisions_ && order_.size() > 1; order_.pop_front()) {
    const auto oldest = entries_.find(order_.front());
    decisions_ -= oldest->second.decisions.size();
    entries_.erase(oldest);
  }
}

const std::vector<Decision>* DecisionLog::find(const AccountId& owner, const TaskId& task) const {
  const auto found = entries_.find(task);
  return found == entries_.end() || found->second.owner != owner ? nullptr : &found->second.decisions;
}

}  // namespace cortensor::router
