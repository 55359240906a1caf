// Claims about the ledger on a PostgreSQL server: one that is away is a clear error that tells no password,
// and never another store; one that is killed under a running ledger loses and doubles nothing, and the same
// ledger goes on once it is back.
#include <algorithm>
#include <atomic>
#include <thread>

#include "ledger_fixture.h"

namespace cortensor::ledger::testing {
namespace {

class OnPostgres : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!PostgresServer::shared()) GTEST_SKIP() << "PostgreSQL is not installed";
  }
  PostgresServer& server() { return *PostgresServer::shared(); }
};

TEST(PostgresUrl, OfNoServerIsAnErrorWithoutItsPassword) {
  const auto refused = open_ledger("postgresql://ada:hush@127.0.0.1:1/book");
  expect_error(refused, ErrorKind::unavailable, "ledger book: cannot connect: connection to server");
  EXPECT_EQ(refused.error().message.find("hush"), std::string::npos) << refused.error().message;
  EXPECT_EQ(refused.error().message.find('\n'), std::string::npos);
}

// A character that should have been escaped makes a part of the password something else, which messages
// quote.
TEST(PostgresUrl, ThatIsMisreadIsRefusedUnquoted) {
  for (const char* url :
       {"postgresql://ada:hu@sh@127.0.0.1:1/book", "postgresql://ada:sh/hush@127.0.0.1:1/book",
        "postgresql://ada:12/hush@127.0.0.1:1/book", "postgresql://ada:%zzsh@127.0.0.1:1/book",
        "mysql://ada:hush@127.0.0.1/book"}) {
    const auto refused = open_ledger(url);
    expect_error(refused, ErrorKind::invalid_input, "expected postgresql://");
    EXPECT_EQ(refused.error().message.find("sh@"), std::string::npos) << refused.error().message;
    EXPECT_EQ(refused.error().message.find("hush"), std::string::npos) << refused.error().message;
  }
}

TEST_F(OnPostgres, AConnectionLostWhileIdleIsNotNoticed) {
  const std::string store = server().new_database();
  const auto ledger = must_open(store);
  const AccountId account = *ledger->create_account("ada", at(1));
  for (int i = 0; i < 2; ++i) {
    execute_in_postgres(store,
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
                        "'cortensor'");
    EXPECT_TRUE(ledger->deposit(account, {5}, std::to_string(i), at(2)));
  }
  EXPECT_EQ(*ledger->balance(account), Credits{10});
}

// Settles one task after the other, each until it is booked: here, or by an attempt whose answer was lost.
class Payer {
 public:
  Payer(Ledger& ledger, SessionId session)
      : ledger_(ledger), session_(std::move(session)), thread_([this] { work(); }) {}
  ~Payer() {
    stop_ = true;
    thread_.join();
  }

  // Returns when so many more have been booked.
  void wait_for(int more) const {
    for (const int target = booked_ + more; booked_ < target;) std::this_thread::yield();
  }
  void wait_for_error() const {
    for (const int target = errors_ + 1; errors_ < target;) std::this_thread::yield();
  }
  int booked() const { return booked_; }

 private:
  void work() {
    while (!stop_) {
      const Status status = ledger_.settle_task(settlement_of(session_, "task_" + std::to_string(booked_),
                                                              {{Payment::Kind::miner, node_number(1), 2},
                                                               {Payment::Kind::router, node_number(2), 1}}),
                                                at(5));
      if (status || status.error().kind == ErrorKind::conflict) {
        ++booked_;
      } else {
        EXPECT_EQ(to_string(status.error().kind), "unavailable") << status.error().message;
        EXPECT_TRUE(status.error().message.starts_with("ledger test_")) << status.error().message;
        EXPECT_EQ(status.error().message.find('/'), std::string::npos) << status.error().message;
        ++errors_;
      }
    }
  }

  Ledger& ledger_;
  const SessionId session_;
  std::atomic<bool> stop_ = false;
  std::atomic<int> booked_ = 0, errors_ = 0;
  std::thread thread_;
};

TEST_F(OnPostgres, AServerThatIsKilledLosesAndDoublesNothing) {
  const std::string store = server().new_database();
  std::vector<std::string> told;
  LedgerOptions options;
  options.health = [&](const Status& status) { told.push_back(status ? "well" : status.error().message); };
  const auto ledger = must_open(store, std::move(options));
  const Client client = open_client(*ledger, {1'000'000}, {1'000'000});
  int booked = 0;
  {
    Payer payer(*ledger, client.session);
    for (int round = 0; round < 5; ++round) {
      payer.wait_for(10 + round);
      server().kill();
      payer.wait_for_error();
      server().start();
    }
    payer.wait_for(10);
    booked = payer.booked();
  }
  const auto tasks = ledger->list_tasks(client.session);
  ASSERT_TRUE(tasks) << tasks.error().message;
  const auto count = static_cast<int>(tasks->size());
  EXPECT_GE(count, booked);
  EXPECT_EQ(*ledger->balance(book_of(node_number(1))), Credits{2 * count});
  EXPECT_EQ(*ledger->balance(book_of(node_number(2))), Credits{count});
  EXPECT_EQ(*ledger->hold_balance(client.session), Credits{1'000'000 - 3 * count});
  expect_clean(*ledger);
  ASSERT_GE(told.size(), 2u);
  EXPECT_EQ(told.back(), "well");
  const auto explained = [](const std::string& text) { return text.find("socket") != std::string::npos; };
  EXPECT_TRUE(std::any_of(told.begin(), told.end(), explained)) << told.front();
}

// Ten seconds long, as that is what a server may take.
TEST_F(OnPostgres, AServerThatStandsStillIsAnErrorAndBooksOnceWhenItGoesOn) {
  LedgerOptions options;
  options.patience = std::chrono::milliseconds(100);
  const auto ledger = must_open(server().new_database(), std::move(options));
  const Client client = open_client(*ledger, {100}, {60});
  const Settlement pay =
      settlement_of(client.session, "task_1", {{Payment::Kind::miner, node_number(1), 10}});
  server().stand_still(true);
  const Status status = ledger->settle_task(pay, at(4));
  server().stand_still(false);
  expect_error(status, ErrorKind::unavailable, "does not answer");
  while (!ledger->settle_task(pay, at(5))) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(*ledger->hold_balance(client.session), Credits{50});
  expect_clean(*ledger);
}

TEST_F(OnPostgres, AnotherThatKeepsItsTurnTooLongIsAnError) {
  const std::string store = server().new_database();
  LedgerOptions options;
  options.patience = std::chrono::milliseconds(100);
  const auto ledger = must_open(store, std::move(options));
  const Client client = open_client(*ledger, {100}, {60});
  const Settlement pay =
      settlement_of(client.session, "task_1", {{Payment::Kind::miner, node_number(1), 10}});
  {
    const HeldLock lock(store, "LOCK TABLE cortensor.migrations IN EXCLUSIVE MODE");
    expect_error(ledger->settle_task(pay, at(4)), ErrorKind::unavailable,
                 "locked by another process for too long");
    EXPECT_TRUE(ledger->session(client.session));  // who reads does not wait
  }
  EXPECT_TRUE(ledger->settle_task(pay, at(5)));
}

}  // namespace
}  // namespace cortensor::ledger::testing
