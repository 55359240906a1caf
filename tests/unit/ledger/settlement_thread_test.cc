// Claims: whatever is handed over is booked and answered once, in order, each on its own; what was handed
// over before the end is booked too. A store that fails is waited for, up to a limit; then the answer says
// so, nothing is booked, and booking again later works. The store is the real one.
#include "ledger/settlement_thread.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "../support/manual_executor.h"
#include "crypto/random.h"
#include "fault_vfs.h"
#include "ledger/open_ledger.h"

namespace cortensor::ledger {
namespace {

constexpr WallTime kNow{std::chrono::hours(1)};

class SettlementThreadTest : public ::testing::Test {
 protected:
  SettlementThreadTest() {
    EXPECT_TRUE(ledger->set_price("m", Price{}));
    const AccountId account = *ledger->create_account("alice", kNow);
    EXPECT_TRUE(ledger->deposit(account, Credits{1'000'000}, "first", kNow));
    SessionSpec spec;
    spec.account = account;
    spec.model = "m";
    spec.budget = Credits{1'000};
    spec.expiry = kNow + std::chrono::hours(1);
    session = *ledger->open_session(spec, kNow);
  }
  ~SettlementThreadTest() override {
    const auto report = ledger->audit();
    EXPECT_TRUE(report && report->clean());
    ledger.reset();
    for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(path.string() + suffix);
  }

  Settlement paying(const std::string& task, std::int64_t amount) const {
    Settlement settlement;
    settlement.task = TaskId(task);
    settlement.session = session;
    settlement.payments = {{Payment::Kind::miner, NodeId(std::string(64, 'a')), amount}};
    return settlement;
  }

  std::filesystem::path path =
      std::filesystem::temp_directory_path() / crypto::random_token("cortensor-ledger-", 12);
  std::unique_ptr<Ledger> ledger = std::move(*open_ledger(path));
  // What becomes of one settlement, from a thread whose disk has the armed fault.
  Status settle_on_bad_disk(const std::string& task, SettlementRetry retry) {
    std::optional<Status> answer;
    {
      testing::arm(testing::Fault::none, 0);  // makes it known to SQLite
      LedgerOptions options;
      options.sqlite_vfs = testing::kFaultVfs;
      SettlementThread thread(std::move(*open_ledger(path, options)), executor, retry);
      testing::arm(fault, 1);
      thread.settle({paying(task, 10)}, kNow, [&](const Status& status) { answer = status; });
    }
    EXPECT_TRUE(testing::fault_happened());
    testing::disarm();
    executor.run();
    return answer.value_or(fail(ErrorKind::internal, "no answer"));
  }

  SessionId session;
  testing::Fault fault = testing::Fault::none;
  ManualExecutor executor;
};

TEST_F(SettlementThreadTest, WaitsOutADiskThatIsFullForAWhile) {
  for (const auto passing : {testing::Fault::disk_full_once, testing::Fault::io_error_once}) {
    fault = passing;
    const std::string task = "task_" + std::to_string(static_cast<int>(fault));
    EXPECT_TRUE(settle_on_bad_disk(task, {std::chrono::hours(1), std::chrono::milliseconds(1)}));
    EXPECT_TRUE(ledger->settled_task(TaskId(task), 0));
  }
}

TEST_F(SettlementThreadTest, GivesUpAtItsLimitWithNothingBookedAndCanBeAskedAgain) {
  fault = testing::Fault::disk_full_forever;
  const SettlementRetry impatient{std::chrono::milliseconds(20), std::chrono::milliseconds(1)};
  EXPECT_EQ(settle_on_bad_disk("task_0", impatient).error().kind, ErrorKind::unavailable);
  EXPECT_FALSE(ledger->settled_task(TaskId("task_0"), 0));
  EXPECT_EQ(ledger->hold_balance(session)->micro, 1'000);
  fault = testing::Fault::disk_full_once;
  EXPECT_TRUE(settle_on_bad_disk("task_0", {std::chrono::hours(1), std::chrono::milliseconds(1)}));
  EXPECT_EQ(ledger->hold_balance(session)->micro, 990);
}

TEST_F(SettlementThreadTest, BooksEachOnItsOwnAndAnswersInOrder) {
  std::vector<std::pair<int, bool>> answers;
  {
    SettlementThread thread(std::move(*open_ledger(path)), executor);
    for (int i = 0; i < 20; ++i)  // number 7 asks for more than the hold has
      thread.settle({paying("task_" + std::to_string(i), i == 7 ? 100'000 : 10)}, kNow,
                    [&answers, i](const Status& status) { answers.emplace_back(i, status.has_value()); });
    Settlement other = paying("task_0", 10);
    other.receipt[0] ^= 1;
    thread.settle({paying("task_20", 10), other}, kNow, [&answers](const Status& status) {
      EXPECT_EQ(status.error().kind,
                ErrorKind::conflict);  // task_0 is settled already; task_20 is booked all the same
      answers.emplace_back(20, status.has_value());
    });
  }
  executor.run();
  ASSERT_EQ(answers.size(), 21u);
  for (int i = 0; i < 21; ++i)
    EXPECT_EQ(answers[static_cast<std::size_t>(i)], std::make_pair(i, i != 7 && i != 20));
  EXPECT_EQ(ledger->hold_balance(session)->micro, 1'000 - 20 * 10);
  EXPECT_TRUE(ledger->settled_task(TaskId("task_20"), 0));
  EXPECT_FALSE(ledger->settled_task(TaskId("task_7"), 0));
}

}  // namespace
}  // namespace cortensor::ledger
