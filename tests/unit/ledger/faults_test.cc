// Claims about a store that is disturbed. A write that fails (disk full, I/O error), once or from then on,
// gives a clear error and leaves the old state; a process that is killed at any write leaves the old state or
// the new one; in every case the books are clean afterwards and the work can go on. Tried at every single
// write of a scenario that opens, changes and closes a ledger. Processes that write at the same time do not
// lose or double anything.
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <functional>
#include <map>
#include <thread>

#include "fault_vfs.h"
#include "ledger_fixture.h"

namespace cortensor::ledger::testing {
namespace {

namespace fs = std::filesystem;

// A scenario whose tokens depend on the step alone, so that a repeated step gives the same ids.
class Scenario {
 public:
  static constexpr int kSteps = 9;

  explicit Scenario(fs::path path) : path_(std::move(path)) {}

  // Step 0 opens the file; the others change it.
  Status run(int step) {
    step_ = step;
    if (step == 0) return open();
    const AccountId account(token("acct_", 1)), unknown("acct_none");
    const SessionId session(token("sess_", 4));
    const auto pay = [&](std::string task, std::int64_t amount) {
      return ledger_->settle_task(settlement_of(session, std::move(task),
                                                {{Payment::Kind::miner, node_number(1), amount},
                                                 {Payment::Kind::router, node_number(2), 5}}),
                                  at(10));
    };
    switch (step) {
      case 1:
        return status_of(ledger_->create_account("ada", at(1)));
      case 2:
        return status_of(ledger_->deposit(account, {1000}, "money", at(2)));
      case 3:
        return ledger_->set_price("tales:q8_0", Price{});
      case 4:
        return status_of(ledger_->open_session(spec_for(account, {600}), at(3)));
      case 5:
        return pay("task_1", 95);
      case 6:
        return pay("task_2", 45);
      case 7:
        return ledger_->reverse_task(TaskId("task_1"), 0, "late proof", at(11));
      default:
        return status_of(ledger_->close_session(session, at(12)));
    }
  }
  void close() { ledger_.reset(); }

  // Everything of interest as one text.
  static std::string snapshot(Ledger& ledger) {
    std::string text;
    const auto report = ledger.audit();
    EXPECT_TRUE(report && report->clean()) << (report ? report->violation : report.error().message);
    const auto accounts = ledger.list_accounts();
    EXPECT_TRUE(accounts);
    for (const Account& account : *accounts) {
      text += account.id.value + "=" + to_string(account.balance) + ";";
      const auto sessions = ledger.list_sessions(account.id, 1000, {});
      for (const Session& session : *sessions) {
        text += session.id.value + " " + std::string(to_string(session.state)) + " " +
                to_string(session.hold) + ";";
        const auto tasks = ledger.list_tasks(session.id);
        for (const SettledTask& task : *tasks)
          text += task.settlement.task.value + (task.reversed ? " reversed;" : ";");
      }
    }
    text += ledger.price("tales:q8_0") ? "priced;" : "";
    text += to_string(*ledger.balance(book_of(node_number(1))));
    return text;
  }
  std::string snapshot() { return ledger_ ? snapshot(*ledger_) : ""; }

 private:
  template <class T>
  static Status status_of(const Result<T>& result) {
    if (!result) return result.error();
    return ok();
  }
  static std::string token(std::string_view prefix, int step) {
    return std::string(prefix) + std::to_string(step);
  }

  Status open() {
    LedgerOptions options;
    options.sqlite_vfs = kFaultVfs;
    options.token = [this](std::string_view prefix, int) { return token(prefix, step_); };
    auto opened = open_ledger(path_, std::move(options));
    if (!opened) return opened.error();
    ledger_ = *std::move(opened);
    return ok();
  }

  fs::path path_;
  std::unique_ptr<Ledger> ledger_;
  int step_ = 0;
};

// The states after each step of an undisturbed run.
std::vector<std::string> undisturbed() {
  TemporaryFolder folder;
  disarm();
  Scenario scenario(folder / "ledger.db");
  std::vector<std::string> states;
  for (int step = 0; step < Scenario::kSteps; ++step) {
    EXPECT_TRUE(scenario.run(step));
    states.push_back(scenario.snapshot());
  }
  return states;
}

// For looking at a result quickly; the VFS is disarmed.
LedgerOptions without_syncs() {
  LedgerOptions options;
  options.sqlite_vfs = kFaultVfs;
  return options;
}

// What a crash at this moment would leave: the files without the memory shared between processes.
std::string state_after_crash(const fs::path& path, const fs::path& copy) {
  for (const char* part : {"", "-wal", "-journal"}) {
    std::error_code ignored;
    fs::remove(copy.string() + part, ignored);
    fs::copy_file(path.string() + part, copy.string() + part, ignored);
  }
  fs::remove(copy.string() + "-shm");
  const auto ledger = must_open(copy, without_syncs());
  return ledger ? Scenario::snapshot(*ledger) : "";
}

class FailingWrites : public ::testing::TestWithParam<Fault> {};
INSTANTIATE_TEST_SUITE_P(Faults, FailingWrites,
                         ::testing::Values(Fault::disk_full_once, Fault::disk_full_forever,
                                           Fault::io_error_once, Fault::io_error_forever));

TEST(Health, IsToldOncePerChange) {
  TemporaryFolder folder;
  disarm();
  arm(Fault::none, 0);
  std::vector<std::string> told;
  LedgerOptions options;
  options.sqlite_vfs = kFaultVfs;
  options.health = [&](const Status& status) { told.push_back(status ? "well" : status.error().message); };
  const auto ledger = must_open(folder / "ledger.db", std::move(options));
  ASSERT_TRUE(ledger->create_account("ada", at(1)));
  EXPECT_TRUE(told.empty());
  arm(Fault::disk_full_forever, 1);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(ledger->create_account("bob", at(2)));
  EXPECT_EQ(told, (std::vector<std::string>{"ledger ledger.db: disk full"}));
  EXPECT_TRUE(ledger->find_account("ada"));  // reading proves nothing about writing
  disarm();
  EXPECT_FALSE(ledger->create_account("ada", at(3)));  // a refusal is no failure, and no success either
  EXPECT_EQ(told.size(), 1u);
  ASSERT_TRUE(ledger->create_account("bob", at(4)));
  ASSERT_TRUE(ledger->create_account("eve", at(5)));
  EXPECT_EQ(told, (std::vector<std::string>{"ledger ledger.db: disk full", "well"}));
}

TEST_P(FailingWrites, LeaveTheOldStateAndAClearError) {
  const std::vector<std::string> states = undisturbed();
  const bool full = GetParam() == Fault::disk_full_once || GetParam() == Fault::disk_full_forever;
  int errors = 0;
  for (int n = 1;; ++n) {
    SCOPED_TRACE("write " + std::to_string(n));
    TemporaryFolder folder;
    const fs::path path = folder / "ledger.db";
    Scenario scenario(path);
    arm(GetParam(), n);
    bool reached = false;
    for (int step = 0; step < Scenario::kSteps; ++step) {
      SCOPED_TRACE("step " + std::to_string(step));
      const Status status = scenario.run(step);
      if (status) continue;
      ++errors;
      reached = fault_happened();
      EXPECT_TRUE(reached);
      EXPECT_EQ(to_string(status.error().kind), "unavailable") << status.error().message;
      if (full) {
        EXPECT_NE(status.error().message.find("disk full"), std::string::npos) << status.error().message;
      }
      disarm();  // there is room again
      const std::string before = step == 0 ? states[0] : states[static_cast<std::size_t>(step) - 1];
      const std::string crashed = state_after_crash(path, folder / "crashed.db");
      EXPECT_TRUE(crashed == before || crashed == states[static_cast<std::size_t>(step)]) << crashed;
      if (step > 0) {
        EXPECT_EQ(scenario.snapshot(), before);
      }
      const Status again = scenario.run(step);
      EXPECT_TRUE(again) << again.error().message;
    }
    scenario.close();
    reached = reached || fault_happened();
    disarm();
    EXPECT_EQ(state_after_crash(path, folder / "closed.db"), states.back());
    if (::testing::Test::HasFailure()) return;
    if (!reached) break;
  }
  EXPECT_GT(errors, 30);
}

// A child runs the scenario and tells of each finished step; it kills itself in the middle of the n-th write.
TEST(KilledWriter, LeavesTheOldStateOrTheNewOne) {
  const std::vector<std::string> states = undisturbed();
  int killed = 0;
  for (int n = 1;; ++n) {
    SCOPED_TRACE("write " + std::to_string(n));
    TemporaryFolder folder;
    int told[2];
    ASSERT_EQ(::pipe(told), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      arm(Fault::kill, n);
      Scenario scenario(folder / "ledger.db");
      for (int step = 0; step < Scenario::kSteps; ++step)
        if (!scenario.run(step) || ::write(told[1], "x", 1) != 1) ::_exit(1);
      scenario.close();
      ::_exit(0);
    }
    ::close(told[1]);
    std::size_t finished = 0;
    for (char c; ::read(told[0], &c, 1) == 1;) ++finished;
    ::close(told[0]);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    const auto ledger = must_open(folder / "ledger.db", without_syncs());
    ASSERT_NE(ledger, nullptr);
    const std::string state = Scenario::snapshot(*ledger);
    const std::string old_state = finished == 0 ? states[0] : states[finished - 1];
    EXPECT_TRUE(state == old_state || (finished < states.size() && state == states[finished])) << state;
    if (::testing::Test::HasFailure()) return;
    if (WIFEXITED(status)) {
      EXPECT_EQ(WEXITSTATUS(status), 0);
      break;
    }
    EXPECT_EQ(WTERMSIG(status), SIGKILL);
    ++killed;
  }
  EXPECT_GT(killed, 30);
}

class TwoProcesses : public EachStore {};
INSTANTIATE_TEST_SUITE_P(Stores, TwoProcesses, ::testing::Values("sqlite", "postgres"), store_name);

// On a busy machine with a slow disk, one may wait long for the others.
LedgerOptions patient() {
  LedgerOptions options;
  options.patience = std::chrono::minutes(1);
  return options;
}

// Waits for children that say with their exit code whether they are content.
void expect_content(const std::vector<pid_t>& children) {
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }
}

// Two children settle tasks of one session at the same time: some of their own, some that both want.
TEST_P(TwoProcesses, NeitherLoseNorDoubleAPayment) {
  constexpr int kOwn = 60, kShared = 60;
  const std::string store = new_store();
  Client client;
  {
    const auto ledger = must_open(store);
    client = open_client(*ledger, {100'000}, {10'000});
  }
  std::vector<pid_t> children;
  for (int who = 0; who < 2; ++who) {
    children.push_back(::fork());
    if (children.back() != 0) continue;
    const auto ledger = must_open(store, patient());
    if (!ledger) ::_exit(1);
    const auto settle = [&](const std::string& task) {
      auto settlement = settlement_of(client.session, task, {{Payment::Kind::miner, node_number(who), 10}});
      settlement.receipt = digest_of("receipt of " + std::to_string(who));
      return ledger->settle_task(settlement, at(10));
    };
    int won = 0;
    for (int i = 0; i < kShared; ++i) {
      if (!settle("task_" + std::to_string(who) + "_" + std::to_string(i))) ::_exit(1);
      const Status shared = settle("task_shared_" + std::to_string(i));
      if (!shared && shared.error().kind != ErrorKind::conflict) ::_exit(1);
      won += shared.has_value();
    }
    ::_exit(ledger->balance(book_of(node_number(who))) == Credits{10 * (kOwn + won)} ? 0 : 2);
  }
  expect_content(children);
  const auto ledger = must_open(store);
  EXPECT_EQ(ledger->list_tasks(client.session)->size(), std::size_t{2 * kOwn + kShared});
  EXPECT_EQ(*ledger->hold_balance(client.session), Credits{10'000 - 10 * (2 * kOwn + kShared)});
  expect_clean(*ledger);
}

// Three children make every kind of change at the same time, on accounts and nodes that they share.
TEST_P(TwoProcesses, MixChangesAndKeepTheBooks) {
  constexpr int kRounds = 40, kProcesses = 3;
  const std::string store = new_store();
  const AccountId account = open_client(*must_open(store), {100'000}, {1}).account;
  std::vector<pid_t> children;
  for (int who = 0; who < kProcesses; ++who) {
    children.push_back(::fork());
    if (children.back() != 0) continue;
    const auto ledger = must_open(store, patient());
    for (int i = 0; i < kRounds; ++i) {
      const std::string round = std::to_string(i), own = std::to_string(who) + "_" + round;
      const auto paid = ledger->deposit(account, {7}, "shared " + round, at(5));
      if (!paid && paid.error().kind != ErrorKind::conflict) ::_exit(1);
      const auto session = ledger->open_session(spec_for(account, {20}), at(6));
      if (!session) ::_exit(2);
      // In opposite orders, so that who waits for whom would make a circle.
      std::vector<Payment> payments{{Payment::Kind::miner, node_number(1), 3},
                                    {Payment::Kind::miner, node_number(2), 4}};
      if (who % 2) std::swap(payments[0], payments[1]);
      const Settlement both[] = {settlement_of(*session, "task_a" + own, payments),
                                 settlement_of(*session, "task_b" + own, payments)};
      for (const Status& status : ledger->settle_tasks(both, at(7)))
        if (!status) ::_exit(3);
      if (!ledger->upsert_node(node_number(1), Role::miner, at(8))) ::_exit(4);
      if (!ledger->add_strike(node_number(1), "slow", {}, at(8))) ::_exit(5);
      if (!ledger->pay_out(node_number(1), {1}, own, at(9))) ::_exit(6);
      const auto rest = ledger->close_session(*session, at(10));
      if (!rest || *rest != Credits{6}) ::_exit(7);
    }
    ::_exit(0);
  }
  expect_content(children);
  const auto ledger = must_open(store);
  constexpr int kAll = kRounds * kProcesses;
  EXPECT_EQ(*ledger->balance(account), Credits{100'000 - 1 + 7 * kRounds - 14 * kAll});
  EXPECT_EQ(*ledger->balance(book_of(node_number(1))), Credits{5 * kAll});
  EXPECT_EQ(*ledger->balance(book_of(node_number(2))), Credits{8 * kAll});
  EXPECT_EQ(ledger->node(node_number(1))->strikes, unsigned{kAll});
  expect_clean(*ledger);
}

// Two routers snatch a session from each other at every step: each epoch is one router's, and no payment is
// booked under an epoch that was over when it was asked for.
TEST_P(TwoProcesses, NeverHaveASessionInTheSameEpoch) {
  constexpr int kRounds = 100;
  const std::string store = new_store();
  const SessionId session = open_client(*must_open(store), {10'000}, {10'000}).session;
  std::vector<std::uint64_t> epochs[2];
  int booked[2] = {};
  {
    std::vector<std::jthread> routers;
    for (int who = 0; who < 2; ++who)
      routers.emplace_back([&, who] {
        const auto ledger = must_open(store, patient());
        for (int i = 0; i < kRounds; ++i) {
          const auto epoch = ledger->take_session(session, node_number(who), at(10), at(10));
          ASSERT_TRUE(epoch) << epoch.error().message;
          epochs[who].push_back(*epoch);
          Settlement pay = settlement_of(session, "task_" + std::to_string(who) + "_" + std::to_string(i),
                                         {{Payment::Kind::miner, node_number(who), 1}});
          pay.epoch = *epoch;
          const Status status = ledger->settle_task(pay, at(10));
          booked[who] += status.has_value();
          if (!status) expect_error(status, ErrorKind::conflict, "another router");
        }
      });
  }
  std::vector<std::uint64_t> both;
  for (auto& mine : epochs) {
    EXPECT_TRUE(std::is_sorted(mine.begin(), mine.end()));
    mine.erase(std::unique(mine.begin(), mine.end()), mine.end());
    both.insert(both.end(), mine.begin(), mine.end());
  }
  std::sort(both.begin(), both.end());
  EXPECT_EQ(std::adjacent_find(both.begin(), both.end()), both.end());
  EXPECT_EQ(both.back(), both.size());
  const auto ledger = must_open(store);
  for (int who = 0; who < 2; ++who)
    EXPECT_EQ(*ledger->balance(book_of(node_number(who))), Credits{booked[who]});
  expect_clean(*ledger);
}

// Several processes that open a store which is empty yet all get the same ledger.
TEST_P(TwoProcesses, MayCreateTheStoreTogether) {
  for (int round = 0; round < 10; ++round) {
    const std::string store = new_store();
    std::vector<pid_t> children;
    for (int who = 0; who < 4; ++who) {
      children.push_back(::fork());
      if (children.back() != 0) continue;
      const auto ledger = open_ledger(store, patient());
      ::_exit(ledger && (*ledger)->create_account("account " + std::to_string(who), at(1)) ? 0 : 1);
    }
    expect_content(children);
    EXPECT_EQ(must_open(store)->list_accounts()->size(), 4u);
  }
}

// ---- files that are not what they should be ----

// Around the program; what the database complains of, or nothing.
std::string execute(const std::string& store, const std::string& sql) {
  if (is_url(store)) return execute_in_postgres(store, "SET search_path TO cortensor;" + sql);
  sqlite3* handle = nullptr;
  EXPECT_EQ(sqlite3_open(store.c_str(), &handle), SQLITE_OK);
  char* message = nullptr;
  sqlite3_exec(handle, sql.c_str(), nullptr, nullptr, &message);
  const std::string complaint = message ? message : "";
  sqlite3_free(message);
  sqlite3_close(handle);
  return complaint;
}

TEST(LedgerFile, IsPrivate) {
  TemporaryFolder folder;
  const auto ledger = must_open(folder / "ledger.db");
  ASSERT_TRUE(ledger->create_account("ada", at(1)));
  for (const char* part : {"ledger.db", "ledger.db-wal", "ledger.db-shm"}) {
    struct stat info {};
    ASSERT_EQ(::stat((folder / part).c_str(), &info), 0) << part;
    EXPECT_EQ(info.st_mode & 0777, 0600u) << part;
  }
}

TEST(LedgerFile, IsRefusedWhenItIsSomethingElse) {
  TemporaryFolder folder;
  std::ofstream(folder / "text.db") << std::string(5000, 'x');
  expect_error(open_ledger(folder / "text.db"), ErrorKind::corrupt, "not a ledger");
  EXPECT_EQ(execute(folder / "other.db", "CREATE TABLE mine (x)"), "");
  expect_error(open_ledger(folder / "other.db"), ErrorKind::corrupt, "not a ledger");
  expect_error(open_ledger(folder / "no such folder/ledger.db"), ErrorKind::unavailable);
}

TEST(LedgerFile, IsRefusedWhenDamaged) {
  TemporaryFolder folder;
  const fs::path path = folder / "ledger.db";
  {
    const auto ledger = must_open(path);
    for (int i = 0; i < 50; ++i) ASSERT_TRUE(ledger->create_account("account " + std::to_string(i), at(1)));
  }
  const auto size = fs::file_size(path);
  fs::copy_file(path, folder / "short.db");
  fs::resize_file(folder / "short.db", size / 2);
  expect_error(open_ledger(folder / "short.db"), ErrorKind::corrupt);
  fs::copy_file(path, folder / "overwritten.db");
  std::fstream file(folder / "overwritten.db", std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(4096 * 2);
  file << std::string(4096 * 3, '\x55');
  file.close();
  expect_error(open_ledger(folder / "overwritten.db"), ErrorKind::corrupt);
}

class LedgerTables : public EachStore {};
INSTANTIATE_TEST_SUITE_P(Stores, LedgerTables, ::testing::Values("sqlite", "postgres"), store_name);

// Each change goes around the program, straight into the tables; the audit names what no longer adds up.
TEST_P(LedgerTables, AreAuditedAndTamperingIsFound) {
  std::map<std::string, const char*> tampering = {
      {"balance of acct_", "UPDATE balances SET amount = amount + 1 WHERE book LIKE 'acct_%'"},
      {"sums to", "INSERT INTO postings (entry, book, amount) VALUES (1, 'external', 7)"},
      {"belongs to nobody",
       "INSERT INTO entries (kind, reference, at) VALUES (0, 'x', 0);"
       "INSERT INTO postings (entry, book, amount) SELECT max(id), 'external', -7 FROM entries;"
       "INSERT INTO postings (entry, book, amount) SELECT max(id), 'acct_ghost', 7 FROM entries;"
       "UPDATE balances SET amount = amount - 7 WHERE book = 'external';"
       "INSERT INTO balances VALUES ('acct_ghost', 7)"},
      {"spent", "UPDATE sessions SET spent = spent - 1; UPDATE sessions SET budget = budget - 1"},
      {"has ended and still holds", "UPDATE sessions SET state = 1, ended = 5"},
      {"not recorded", "DELETE FROM tasks; UPDATE sessions SET spent = 0, budget = 50"},
      {"does not match", "UPDATE tasks SET id = 'task_other'"},
      {"its postings differ",
       "UPDATE tasks SET reversal_reason = 'x'; UPDATE sessions SET spent = 0, budget = 50"},
      {"without postings", "INSERT INTO balances VALUES ('node:x', 5)"},
  };
  const char* orphan = "UPDATE api_keys SET account = 'acct_none'";  // PostgreSQL does not let it happen
  if (!in_postgres()) tampering["refers to nothing"] = orphan;
  for (const auto& [words, sql] : tampering) {
    SCOPED_TRACE(words);
    const std::string store = new_store();
    {
      const auto ledger = must_open(store);
      const Client client = open_client(*ledger, {100}, {60});
      ASSERT_TRUE(ledger->create_api_key(client.account, "key", at(3)));
      ASSERT_TRUE(ledger->settle_task(
          settlement_of(client.session, "task_1", {{Payment::Kind::miner, node_number(1), 10}}), at(4)));
      expect_clean(*ledger);
    }
    EXPECT_EQ(execute(store, sql), "");
    const auto report = must_open(store)->audit();
    ASSERT_TRUE(report);
    EXPECT_NE(report->violation.find(words), std::string::npos) << report->violation;
  }
}

TEST_P(LedgerTables, KeepEntriesAndPostingsAsTheyAre) {
  const std::string store = new_store();
  open_client(*must_open(store), {100}, {60});
  for (const char* sql : {"UPDATE postings SET amount = 1", "DELETE FROM postings",
                          "UPDATE entries SET at = 1", "DELETE FROM entries"})
    EXPECT_NE(execute(store, sql).find("are final"), std::string::npos) << sql;
  const std::string negative = execute(store, "UPDATE balances SET amount = -1 WHERE book LIKE 'acct_%'");
  EXPECT_NE(negative.find("constraint"), std::string::npos) << negative;
}

TEST_P(LedgerTables, OfALaterProgramAreRefused) {
  const std::string store = new_store();
  must_open(store).reset();
  EXPECT_EQ(execute(store, "INSERT INTO migrations VALUES (1000)"), "");
  expect_error(open_ledger(store), ErrorKind::unsupported, "1000");
}

}  // namespace
}  // namespace cortensor::ledger::testing
