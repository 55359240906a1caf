// The decisions about the latest tasks, in memory.
#pragma once

#include <deque>
#include <unordered_map>
#include <vector>

#include "base/ids.h"
#include "router/core/decision.h"

namespace cortensor::router {

class DecisionLog {
 public:
  explicit DecisionLog(std::size_t max_tasks) : max_tasks_(max_tasks) {}

  // The oldest task goes when there are too many. Of a task that is asked for again and again the first
  // decisions are kept.
  void add(const AccountId& owner, const TaskId& task, Decision decision);
  // nullptr: unknown, gone, or another account's.
  const std::vector<Decision>* find(const AccountId& owner, const TaskId& task) const;

 private:
  struct Entry {
    AccountId owner;
    std::vector<Decision> decisions;
  };
  static constexpr std::size_t kMostDecisions = 64;

  std::size_t max_tasks_;
  std::deque<TaskId> order_;
  std::unordered_map<TaskId, Entry> entries_;
};

}  // namespace cortensor::router
