// Claims: decisions are told to a task's owner alone, and the oldest tasks make room for later ones.
#include "router/core/decision_log.h"

#include <gtest/gtest.h>

namespace cortensor::router {
namespace {

const AccountId kOwner("acct_1");

void add(DecisionLog& log, const std::string& task, int decisions) {
  for (int i = 0; i < decisions; ++i) log.add(kOwner, TaskId(task), Decision{});
}
std::size_t kept(const DecisionLog& log, const std::string& task) {
  const auto* found = log.find(kOwner, TaskId(task));
  return found ? found->size() : 0;
}

TEST(DecisionLog, TellsOnlyTheOwner) {
  DecisionLog log(4);
  add(log, "task_1", 1);
  EXPECT_EQ(kept(log, "task_1"), 1u);
  EXPECT_EQ(log.find(AccountId("acct_2"), TaskId("task_1")), nullptr);
  EXPECT_EQ(log.find(kOwner, TaskId("task_2")), nullptr);
}

TEST(DecisionLog, CountsDecisionsNotTasks) {
  DecisionLog log(10);
  add(log, "task_1", 4);
  add(log, "task_2", 4);
  add(log, "task_3", 2);
  EXPECT_EQ(kept(log, "task_1"), 4u);
  add(log, "task_3", 1);
  EXPECT_EQ(kept(log, "task_1"), 0u);
  EXPECT_EQ(kept(log, "task_2"), 4u);
  EXPECT_EQ(kept(log, "task_3"), 3u);
  add(log, "task_3", 100);  // of one task the first ones are kept, and at least its own
  EXPECT_EQ(kept(log, "task_2"), 0u);
  EXPECT_EQ(kept(log, "task_3"), 64u);
}

}  // namespace
}  // namespace cortensor::router
