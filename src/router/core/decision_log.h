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
  explicit DecisionLog(std::size_t max_decisions) : max_decisions_(max_decisions) {}

  // The oldest tasks go when there are too many decisions. Of a task that is asked for again and again the
  // first ones are kept.
  void add(const AccountId& owner, const TaskId& task, Decision decision);
  // nullptr: unknown, gone, or another account's.
  const std::vector<Decision>* find(const AccountId& owner, const TaskId& task) const;

 private:
  struct Entry {
    AccountId owner;
    std::vector<Decision> decisions;
  };
  static constexpr std::size_t kMostDecisions = 64;

  std::size_t max_decisions_;
  std::size_t decisions_ = 0;
  std::deque<TaskId> order_;
  std::unordered_map<TaskId, Entry> entries_;
};

}  // namespace cortensor::router
