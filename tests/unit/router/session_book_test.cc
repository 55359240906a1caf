// Claims: a key's implicit session is opened once, reused, replaced when it runs low or old, found again
// after a restart, and closed as soon as its replacement is in use and nothing runs in it. Old receipts make
// room.
#include "world.h"

namespace cortensor::router {
namespace {

class SessionBookTest : public World {
 protected:
  Result<ledger::Session> implicit(std::int64_t need, const std::string& key = "k1") {
    return core->sessions().implicit(account, key, model->manifest.id, Credits{need}, executor.wall_now());
  }
  ledger::SessionState state(const ledger::Session& session) { return ledger->session(session.id)->state; }
};

TEST_F(SessionBookTest, OnePerKeyIsReusedAndSurvivesARestart) {
  const auto first = implicit(1000);
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_TRUE(first->spec.implicit);
  EXPECT_EQ(first->hold.micro, 1'000'000);
  EXPECT_EQ(implicit(1000)->id, first->id);
  EXPECT_NE(implicit(1000, "k2")->id, first->id);
  core.reset();
  restart();
  EXPECT_EQ(implicit(1000)->id, first->id);
}

TEST_F(SessionBookTest, AnIdleOneThatIsTooSmallIsClosedAndReplaced) {
  const auto small = implicit(1000);
  const auto large = implicit(3'000'000);
  ASSERT_TRUE(large);
  EXPECT_EQ(state(*small), ledger::SessionState::closed);
  EXPECT_EQ(large->hold.micro, 3'000'000);
  EXPECT_EQ(implicit(99'000'000).error().kind, ErrorKind::payment_required);
}

TEST_F(SessionBookTest, ABusyOneIsClosedWhenItsLastTaskEnds) {
  const auto busy = implicit(1000);
  ASSERT_TRUE(core->sessions().reserve(busy->id, Credits{999'500}, executor.wall_now()));
  const auto next = implicit(1000);
  EXPECT_NE(next->id, busy->id);
  EXPECT_EQ(state(*busy), ledger::SessionState::open);
  core->sessions().release(busy->id, Credits{999'500}, executor.wall_now());
  EXPECT_EQ(state(*busy), ledger::SessionState::closed);
  EXPECT_EQ(state(*next), ledger::SessionState::open);
}

TEST_F(SessionBookTest, AnOldOneIsReplacedBeforeItExpires) {
  const auto old = implicit(1000);
  executor.advance(std::chrono::seconds(3601));
  EXPECT_EQ(state(*old), ledger::SessionState::open);
  EXPECT_NE(implicit(1000)->id, old->id);
  EXPECT_EQ(state(*old), ledger::SessionState::closed);
}

// Two routers on one ledger.
class SharedLedgerTest : public SessionBookTest {
 protected:
  SharedLedgerTest() { options_.session_lease = std::chrono::seconds(10); }
  SessionBook one{*ledger, options_, NodeId(std::string(64, '1'))};
  SessionBook other{*ledger, options_, NodeId(std::string(64, '2'))};
  WallTime now() { return executor.wall_now(); }
};

TEST_F(SharedLedgerTest, ASessionWithReservationsIsOneRoutersAlone) {
  const auto session = open();
  ASSERT_TRUE(one.reserve(session.id, Credits{600'000}, now()));
  EXPECT_EQ(other.reserve(session.id, Credits{600'000}, now()).error().kind, ErrorKind::unavailable);
  EXPECT_EQ(other.close(account, session.id, now()).error().kind, ErrorKind::unavailable);
  EXPECT_EQ(other.tasks(session.id), 0u);
  for (int i = 0; i < 30; ++i) {  // it keeps what it works on
    executor.advance(std::chrono::seconds(1));
    EXPECT_TRUE(one.expire(now()));
  }
  EXPECT_FALSE(other.reserve(session.id, Credits{1}, now()));
  one.release(session.id, Credits{600'000}, now());
  executor.advance(std::chrono::seconds(11));
  EXPECT_TRUE(other.reserve(session.id, Credits{600'000}, now()));
  EXPECT_EQ(other.epoch(session.id), *one.epoch(session.id) + 1);
}

TEST_F(SharedLedgerTest, WhoLostASessionCannotSettleInItNorCloseIt) {
  const auto session = open();
  ASSERT_TRUE(one.reserve(session.id, Credits{1000}, now()));
  executor.advance(std::chrono::seconds(11));  // as if it had stood still
  ASSERT_TRUE(other.reserve(session.id, Credits{1000}, now()));
  ledger::Settlement late{TaskId("task_a"),     0, session.id, {}, {}, ledger::TaskOutcome::failed, {},
                          one.epoch(session.id)};
  EXPECT_EQ(ledger->settle_task(late, now()).error().kind, ErrorKind::conflict);
  EXPECT_FALSE(one.close(account, session.id, now()));
  late.epoch = other.epoch(session.id);
  EXPECT_TRUE(ledger->settle_task(late, now()));
}

TEST_F(SharedLedgerTest, ATaskThatOutlivesItsLeaseIsNotBilledUnfenced) {
  const auto session = open();
  ASSERT_TRUE(one.reserve(session.id, Credits{1000}, now()));
  const auto epoch = one.epoch(session.id);
  executor.advance(std::chrono::seconds(11));
  ASSERT_TRUE(other.reserve(session.id, Credits{1000}, now()));
  EXPECT_TRUE(one.expire(now()));  // it cannot be renewed
  EXPECT_EQ(one.epoch(session.id), epoch);
  one.release(session.id, Credits{1000}, now());
  EXPECT_TRUE(one.expire(now()));
  EXPECT_EQ(one.epoch(session.id), 0u);
  EXPECT_EQ(one.epoch(SessionId("sess_unknown")), 0u);
}

TEST_F(SharedLedgerTest, AKeysOwnSessionIsEachRoutersOwn) {
  const auto implicit_in = [&](SessionBook& book) {
    return book.implicit(account, "k1", model->manifest.id, Credits{1000}, now())->id;
  };
  const SessionId first = implicit_in(one);
  ASSERT_TRUE(one.reserve(first, Credits{1000}, now()));
  SessionBook third(*ledger, options_, NodeId(std::string(64, '3')));  // finds it open, and in use
  const SessionId own = implicit_in(third);
  EXPECT_NE(own, first);
  EXPECT_EQ(implicit_in(third), own);
  EXPECT_EQ(ledger->session(first)->state, ledger::SessionState::open);
}

// The account has no more money than the router that died had put into the key's session.
TEST_F(SharedLedgerTest, AKeysSessionIsTakenOverWhereItHoldsAllTheMoney) {
  const auto key = [&](SessionBook& book, std::int64_t need) {
    return book.implicit(account, "k1", model->manifest.id, Credits{need}, now());
  };
  options_.implicit_budget = Credits{kMoney};
  const auto left = key(one, 1000);
  ASSERT_TRUE(left);
  ASSERT_TRUE(one.reserve(left->id, Credits{1000}, now()));
  EXPECT_EQ(key(other, 1000).error().kind, ErrorKind::unavailable);
  executor.advance(std::chrono::seconds(11));
  EXPECT_EQ(key(other, 2 * kMoney).error().kind, ErrorKind::payment_required);
  const auto taken = key(other, 1000);
  ASSERT_TRUE(taken) << taken.error().message;
  EXPECT_EQ(taken->id, left->id);
  EXPECT_TRUE(other.reserve(taken->id, Credits{1000}, now()));
}

TEST_F(SessionBookTest, AnExpiredSessionWithWorkInItEndsAfterTheWork) {
  FakeNode& miner = add_miner();
  ledger::SessionSpec spec = open().spec;
  spec.expiry = executor.wall_now() + std::chrono::seconds(5);
  const auto session = core->sessions().open(spec, executor.wall_now());
  const Run run = submit(*session);
  executor.advance(std::chrono::seconds(10));
  EXPECT_EQ(state(*session), ledger::SessionState::open);
  EXPECT_EQ(submit(*session).task.error().kind, ErrorKind::conflict);
  miner.run(miner.heard<protocol::Assign>().at(0));
  ASSERT_TRUE(run.heard->result);
  executor.advance(std::chrono::seconds(2));
  EXPECT_EQ(state(*session), ledger::SessionState::expired);
}

TEST(ReceiptStore, TheOldestGoWhenThereAreTooManyOrTooLongOnes) {
  ReceiptStore store(2, 10);
  const AccountId owner("acct_1");
  const auto add = [&](const std::string& id, std::size_t steps) {
    protocol::Receipt receipt;
    receipt.id = id;
    receipt.steps.resize(steps);
    store.add(owner, std::move(receipt));
  };
  add("a", 3);
  add("b", 3);
  EXPECT_NE(store.find(owner, "a"), nullptr);
  EXPECT_EQ(store.find(AccountId("acct_2"), "a"), nullptr);
  add("c", 3);
  EXPECT_EQ(store.find(owner, "a"), nullptr);
  add("d", 9);
  EXPECT_EQ(store.find(owner, "b"), nullptr);
  EXPECT_EQ(store.find(owner, "c"), nullptr);
  EXPECT_NE(store.find(owner, "d"), nullptr);
}

}  // namespace
}  // namespace cortensor::router
