// Claims: every rule of ledger.h holds, in the memory ledger, in SQLite and in PostgreSQL alike.
#include "ledger/ledger.h"

#include "ledger_fixture.h"
#include "memory_ledger.h"

namespace cortensor::ledger::testing {
namespace {

class EachLedger : public EachStore {
 protected:
  void SetUp() override {
    EachStore::SetUp();
    if (!IsSkipped()) ledger_ = name() == "memory" ? make_memory_ledger() : must_open(new_store());
  }
  void TearDown() override {
    if (ledger_) expect_clean(*ledger_);
  }

  Ledger& ledger() { return *ledger_; }
  Credits balance(const AccountId& account) { return *ledger_->balance(account); }
  Credits earned(int node) { return *ledger_->balance(book_of(node_number(node))); }

 private:
  std::unique_ptr<Ledger> ledger_;
};

INSTANTIATE_TEST_SUITE_P(Stores, EachLedger, ::testing::Values("memory", "sqlite", "postgres"), store_name);

TEST_P(EachLedger, DepositsOncePerReference) {
  const AccountId ada = *ledger().create_account("ada", at(1));
  EXPECT_EQ(*ledger().deposit(ada, {500}, "bank 1", at(2)), Credits{500});
  expect_error(ledger().deposit(ada, {500}, "bank 1", at(3)), ErrorKind::conflict, "bank 1");
  expect_error(ledger().deposit(ada, {0}, "bank 2", at(3)), ErrorKind::invalid_input);
  expect_error(ledger().deposit(ada, {-5}, "bank 2", at(3)), ErrorKind::invalid_input);
  expect_error(ledger().deposit(AccountId("acct_none"), {5}, "bank 2", at(3)), ErrorKind::not_found);
  EXPECT_EQ(balance(ada), Credits{500});
  EXPECT_EQ(*ledger().balance(external_book()), Credits{-500});
  expect_error(ledger().create_account("ada", at(4)), ErrorKind::conflict);
  EXPECT_EQ(ledger().find_account("ada")->id, ada);
}

TEST_P(EachLedger, ListsAccountsByTheBytesOfTheirNames) {
  for (const char* name : {"b", "A", "a", "B"}) ASSERT_TRUE(ledger().create_account(name, at(1)));
  std::string names;
  const auto accounts = *ledger().list_accounts();
  for (const Account& account : accounts) names += account.name;
  EXPECT_EQ(names, "ABab");
}

TEST_P(EachLedger, RefusesMoreMoneyThanItCanCount) {
  const AccountId ada = *ledger().create_account("ada", at(1));
  const std::int64_t deposits = kMaxSupply.micro / kMaxAmount.micro;
  for (std::int64_t i = 0; i < deposits; ++i)
    ASSERT_TRUE(ledger().deposit(ada, kMaxAmount, std::to_string(i), at(2)));
  expect_error(ledger().deposit(ada, {1}, "one more", at(2)), ErrorKind::invalid_input);
  EXPECT_EQ(balance(ada), kMaxSupply);
}

TEST_P(EachLedger, OpensAnAccountWithDepositAndKeyOrNotAtAll) {
  expect_error(ledger().open_account("ada", {kMaxAmount.micro + 1}, "first", at(1)),
               ErrorKind::invalid_input);
  expect_error(ledger().open_account("ada", {-1}, "first", at(1)), ErrorKind::invalid_input);
  expect_error(ledger().open_account("ada", {5}, "a\nb", at(1)), ErrorKind::invalid_input);
  expect_error(ledger().open_account("", {5}, "first", at(1)), ErrorKind::invalid_input);
  const AccountId rich = *ledger().create_account("rich", at(1));
  for (std::int64_t i = 0; i < kMaxSupply.micro / kMaxAmount.micro; ++i)
    ASSERT_TRUE(ledger().deposit(rich, kMaxAmount, std::to_string(i), at(2)));
  expect_error(ledger().open_account("ada", {5}, "first", at(2)), ErrorKind::invalid_input);
  EXPECT_EQ(ledger().list_accounts()->size(), 1u);

  const NewApiKey ada = *ledger().open_account("ada", {}, "first", at(3));
  EXPECT_EQ(*ledger().find_by_api_key(ada.secret), ada.key.account);
  EXPECT_EQ(ledger().find_account("ada")->id, ada.key.account);
  EXPECT_EQ(balance(ada.key.account), Credits{0});
  expect_error(ledger().open_account("ada", {}, "first", at(4)), ErrorKind::conflict);
}

TEST_P(EachLedger, AnOpenedAccountHasItsOpeningDeposit) {
  EXPECT_EQ(balance(ledger().open_account("ada", {500}, "first", at(1))->key.account), Credits{500});
}

TEST_P(EachLedger, FindsAnAccountByKeyUntilItIsRevoked) {
  const AccountId ada = *ledger().create_account("ada", at(1));
  const NewApiKey made = *ledger().create_api_key(ada, "laptop", at(2));
  EXPECT_EQ(made.secret.size(), 47u);
  EXPECT_TRUE(made.secret.starts_with("ctk_"));
  EXPECT_EQ(*ledger().find_by_api_key(made.secret), ada);
  expect_error(ledger().find_by_api_key(made.secret + "x"), ErrorKind::unauthenticated);
  expect_error(ledger().find_by_api_key(""), ErrorKind::unauthenticated);
  expect_error(ledger().find_by_api_key(made.key.id), ErrorKind::unauthenticated);
  EXPECT_EQ(ledger().list_api_keys(ada)->size(), 1u);
  EXPECT_TRUE(ledger().revoke_api_key(made.key.id));
  EXPECT_TRUE(ledger().revoke_api_key(made.key.id));
  expect_error(ledger().find_by_api_key(made.secret), ErrorKind::unauthenticated);
  EXPECT_TRUE(ledger().list_api_keys(ada)->at(0).revoked);
  expect_error(ledger().revoke_api_key("0123"), ErrorKind::not_found);
}

TEST_P(EachLedger, HoldsTheBudgetAndReleasesTheRestOnce) {
  const Client client = open_client(ledger(), {1000}, {600});
  EXPECT_EQ(balance(client.account), Credits{400});
  EXPECT_EQ(*ledger().hold_balance(client.session), Credits{600});
  ASSERT_TRUE(ledger().settle_task(
      settlement_of(client.session, "task_1",
                    {{Payment::Kind::miner, node_number(1), 95}, {Payment::Kind::router, node_number(9), 5}}),
      at(4)));
  EXPECT_EQ(*ledger().close_session(client.session, at(5)), Credits{500});
  EXPECT_EQ(*ledger().close_session(client.session, at(6)), Credits{0});
  EXPECT_EQ(balance(client.account), Credits{900});
  const Session closed = *ledger().session(client.session);
  EXPECT_EQ(closed.state, SessionState::closed);
  EXPECT_EQ(closed.hold, Credits{0});
  EXPECT_EQ(closed.spent, Credits{100});
  EXPECT_EQ(closed.ended, at(5));
}

TEST_P(EachLedger, RefusesSessionsThatCannotBe) {
  const AccountId ada = *ledger().create_account("ada", at(1));
  ASSERT_TRUE(ledger().deposit(ada, {100}, "r", at(1)));
  SessionSpec spec = spec_for(ada, {50});
  expect_error(ledger().open_session(spec, at(2)), ErrorKind::not_found);  // the model has no price yet
  ASSERT_TRUE(ledger().set_price(spec.model, {{2'000'000}, {8'000'000}}));
  const auto refuse = [&](ErrorKind kind, auto change) {
    SessionSpec wrong = spec;
    change(wrong);
    expect_error(ledger().open_session(wrong, at(2)), kind);
  };
  refuse(ErrorKind::payment_required, [](SessionSpec& s) { s.budget = {101}; });
  refuse(ErrorKind::not_found, [](SessionSpec& s) { s.account = AccountId("acct_none"); });
  refuse(ErrorKind::conflict, [](SessionSpec& s) { s.max_completion_price = Credits{7'999'999}; });
  refuse(ErrorKind::conflict, [](SessionSpec& s) { s.max_prompt_price = Credits{0}; });
  refuse(ErrorKind::invalid_input, [](SessionSpec& s) { s.budget = {0}; });
  refuse(ErrorKind::invalid_input, [](SessionSpec& s) { s.budget = {INT64_MIN}; });
  refuse(ErrorKind::invalid_input, [](SessionSpec& s) { s.expiry = at(2); });
  refuse(ErrorKind::invalid_input, [](SessionSpec& s) { s.redundancy = 0; });
  refuse(ErrorKind::invalid_input, [](SessionSpec& s) { s.validation.level = ValidationLevel::spot; });
  refuse(ErrorKind::invalid_input, [](SessionSpec& s) { s.validation = {ValidationLevel::quorum, 0, 2, 4}; });
  refuse(ErrorKind::invalid_input, [](SessionSpec& s) { s.validation = {ValidationLevel::full, 1, 0, 0}; });
  EXPECT_EQ(balance(ada), Credits{100});
  spec.max_prompt_price = Credits{2'000'000};
  spec.max_completion_price = Credits{8'000'000};
  spec.validation = {ValidationLevel::quorum, 0, 2, 3};
  spec.label = "evening";
  spec.implicit = true;
  const SessionId opened = *ledger().open_session(spec, at(2));
  EXPECT_EQ(ledger().session(opened)->spec, spec);
  EXPECT_EQ(ledger().list_sessions(ada, 10, {})->size(), 1u);
  EXPECT_EQ(ledger().list_open_sessions()->at(0).id, opened);
}

TEST_P(EachLedger, ListsSessionsPageByPageTheNewestFirst) {
  const AccountId ada = *ledger().create_account("ada", at(1));
  const AccountId eve = *ledger().create_account("eve", at(1));
  ASSERT_TRUE(ledger().set_price("m", Price{}));
  for (const AccountId& account : {ada, eve})
    ASSERT_TRUE(ledger().deposit(account, Credits{100}, "for " + account.value, at(1)));
  std::vector<SessionId> opened;
  for (int i = 0; i < 5; ++i)
    for (const AccountId& account : {ada, eve}) {
      SessionSpec spec;
      spec.account = account;
      spec.model = "m";
      spec.budget = Credits{1};
      spec.expiry = at(100);
      const auto id = ledger().open_session(spec, at(2));
      ASSERT_TRUE(id) << id.error().message;
      if (account == ada) opened.push_back(*id);
    }
  const auto page = [&](std::size_t limit, const std::optional<SessionId>& after) {
    std::vector<SessionId> ids;
    const auto sessions = ledger().list_sessions(ada, limit, after);
    for (const Session& one : *sessions) ids.push_back(one.id);
    return ids;
  };
  using Ids = std::vector<SessionId>;
  EXPECT_EQ(page(2, {}), (Ids{opened[4], opened[3]}));
  EXPECT_EQ(page(2, opened[3]), (Ids{opened[2], opened[1]}));
  EXPECT_EQ(page(2, opened[1]), Ids{opened[0]});
  EXPECT_EQ(page(2, opened[0]), Ids{});
  EXPECT_EQ(page(10, {}).size(), 5u);
  EXPECT_EQ(ledger().list_sessions(eve, 2, opened[3]).error().kind, ErrorKind::not_found);
  EXPECT_EQ(ledger().list_sessions(ada, 2, SessionId("sess_none")).error().kind, ErrorKind::not_found);
}

TEST_P(EachLedger, SettlesEachTaskOnceAndNeverBeyondTheHold) {
  const Client client = open_client(ledger(), {1000}, {100});
  const Settlement paid = settlement_of(client.session, "task_1",
                                        {{Payment::Kind::miner, node_number(1), 60},
                                         {Payment::Kind::validator, node_number(2), 15},
                                         {Payment::Kind::miner, node_number(3), 0}});
  ASSERT_TRUE(ledger().settle_task(paid, at(4)));
  Settlement again = paid;
  again.receipt = digest_of("another receipt");
  expect_error(ledger().settle_task(again, at(5)), ErrorKind::conflict, "task_1");
  expect_error(
      ledger().settle_task(
          settlement_of(client.session, "task_2", {{Payment::Kind::miner, node_number(1), 26}}), at(5)),
      ErrorKind::payment_required);
  EXPECT_EQ(earned(1), Credits{60});
  EXPECT_EQ(earned(2), Credits{15});
  EXPECT_EQ(*ledger().hold_balance(client.session), Credits{25});

  Settlement second_choice = paid;
  second_choice.choice = 1;
  second_choice.payments = {{Payment::Kind::miner, node_number(1), 25}};
  ASSERT_TRUE(ledger().settle_task(second_choice, at(6)));

  const SettledTask found = *ledger().settled_task(paid.task, 0);
  EXPECT_EQ(found.settlement.payments.size(), 2u);  // the zero payment is not kept
  EXPECT_EQ(found.settlement.payments[1], paid.payments[1]);
  EXPECT_EQ(found.settlement.receipt, paid.receipt);
  EXPECT_EQ(ledger().list_tasks(client.session)->size(), 2u);
  EXPECT_EQ(ledger().postings(paid.task)->size(), 5u);
  ASSERT_TRUE(ledger().close_session(client.session, at(7)));
  expect_error(ledger().settle_task(settlement_of(client.session, "task_3", {}), at(8)), ErrorKind::conflict,
               "closed");
}

TEST_P(EachLedger, RecordsTasksThatNobodyIsPaidFor) {
  const Client client = open_client(ledger(), {1000}, {100});
  Settlement unpaid = settlement_of(client.session, "task_1", {}, TaskOutcome::invalid);
  ASSERT_TRUE(ledger().settle_task(unpaid, at(4)));
  unpaid.receipt = digest_of("another receipt");
  expect_error(ledger().settle_task(unpaid, at(4)), ErrorKind::conflict);
  EXPECT_EQ(ledger().settled_task(TaskId("task_1"), 0)->settlement.outcome, TaskOutcome::invalid);
  EXPECT_EQ(*ledger().hold_balance(client.session), Credits{100});
  for (const TaskOutcome outcome : {TaskOutcome::invalid, TaskOutcome::failed})
    expect_error(ledger().settle_task(settlement_of(client.session, "task_2",
                                                    {{Payment::Kind::miner, node_number(1), 1}}, outcome),
                                      at(5)),
                 ErrorKind::invalid_input);
  expect_error(ledger().settle_task(
                   settlement_of(client.session, "task_2", {{Payment::Kind::miner, NodeId("me"), 1}}), at(5)),
               ErrorKind::invalid_input);
  expect_error(
      ledger().settle_task(
          settlement_of(client.session, "task_2", {{Payment::Kind::miner, node_number(1), -1}}), at(5)),
      ErrorKind::invalid_input);
  expect_error(ledger().settle_task(settlement_of(SessionId("sess_none"), "task_2", {}), at(5)),
               ErrorKind::not_found);
}

TEST_P(EachLedger, ReversesAPaymentToTheHoldOrToTheAccount) {
  const Client client = open_client(ledger(), {1000}, {100});
  const std::vector<Payment> pay{{Payment::Kind::miner, node_number(1), 30},
                                 {Payment::Kind::validator, node_number(1), 10}};
  for (const char* task : {"task_1", "task_2"})
    ASSERT_TRUE(ledger().settle_task(settlement_of(client.session, task, pay), at(4)));
  ASSERT_TRUE(ledger().reverse_task(TaskId("task_1"), 0, "late proof", at(5)));
  expect_error(ledger().reverse_task(TaskId("task_1"), 0, "again", at(5)), ErrorKind::conflict);
  EXPECT_EQ(*ledger().hold_balance(client.session), Credits{60});
  EXPECT_EQ(ledger().settled_task(TaskId("task_1"), 0)->reversed, "late proof");
  EXPECT_EQ(*ledger().close_session(client.session, at(6)), Credits{60});
  ASSERT_TRUE(ledger().reverse_task(TaskId("task_2"), 0, "late proof", at(7)));
  EXPECT_EQ(balance(client.account), Credits{1000});
  EXPECT_EQ(earned(1), Credits{0});
  EXPECT_EQ(ledger().session(client.session)->spent, Credits{0});
}

TEST_P(EachLedger, ReversesNothingThatAPartyNoLongerHas) {
  const Client client = open_client(ledger(), {1000}, {100});
  ASSERT_TRUE(ledger().settle_task(settlement_of(client.session, "task_1",
                                                 {{Payment::Kind::miner, node_number(1), 30},
                                                  {Payment::Kind::validator, node_number(1), 10}}),
                                   at(4)));
  expect_error(ledger().pay_out(node_number(1), {41}, "payout", at(5)), ErrorKind::payment_required);
  EXPECT_EQ(*ledger().pay_out(node_number(1), {1}, "payout", at(5)), Credits{39});
  expect_error(ledger().pay_out(node_number(1), {1}, "payout", at(5)), ErrorKind::conflict);
  expect_error(ledger().reverse_task(TaskId("task_1"), 0, "late proof", at(6)), ErrorKind::conflict, "money");
  EXPECT_EQ(earned(1), Credits{39});
}

TEST_P(EachLedger, ExpiresWhatIsDueAndNotBusy) {
  const Client client = open_client(ledger(), {1000}, {100});  // expires at 1'000'000
  SessionSpec longer = spec_for(client.account, {50});
  longer.expiry = at(2'000'000);
  const SessionId later = *ledger().open_session(longer, at(4));
  EXPECT_TRUE(ledger().expire_sessions(at(999'999), {})->empty());
  const SessionId busy[] = {client.session};
  EXPECT_TRUE(ledger().expire_sessions(at(1'000'000), busy)->empty());
  const auto released = *ledger().expire_sessions(at(1'000'000), {});
  ASSERT_EQ(released.size(), 1u);
  EXPECT_EQ(released[0], (Released{client.session, {100}}));
  EXPECT_EQ(ledger().session(client.session)->state, SessionState::expired);
  EXPECT_EQ(ledger().session(later)->state, SessionState::open);
  EXPECT_EQ(balance(client.account), Credits{950});
}

TEST_P(EachLedger, GivesASessionToOneRouterAtATime) {
  const Client client = open_client(ledger(), {1000}, {100});
  const NodeId one = node_number(1), two = node_number(2);
  EXPECT_EQ(*ledger().take_session(client.session, one, at(20), at(10)), 1u);
  expect_error(ledger().take_session(client.session, two, at(30), at(19)), ErrorKind::conflict, one.value);
  EXPECT_EQ(*ledger().take_session(client.session, one, at(40), at(19)), 1u);
  expect_error(ledger().take_session(client.session, two, at(60), at(39)), ErrorKind::conflict);
  EXPECT_EQ(*ledger().take_session(client.session, two, at(60), at(40)), 2u);
  EXPECT_EQ(*ledger().take_session(client.session, two, at(50), at(50)), 2u);  // given back
  EXPECT_EQ(*ledger().take_session(client.session, one, at(60), at(50)), 3u);
  EXPECT_EQ(*ledger().take_session(client.session, one, at(90), at(80)), 3u);  // nobody has had it in between
  expect_error(ledger().take_session(client.session, NodeId("me"), at(99), at(95)), ErrorKind::invalid_input);
  expect_error(ledger().take_session(SessionId("sess_none"), one, at(99), at(95)), ErrorKind::not_found);
  ASSERT_TRUE(ledger().close_session(client.session, at(96)));
  expect_error(ledger().take_session(client.session, one, at(99), at(97)), ErrorKind::conflict, "closed");
}

TEST_P(EachLedger, RefusesARouterThatHasLostTheSession) {
  const Client client = open_client(ledger(), {1000}, {100});
  Settlement pay = settlement_of(client.session, "task_1", {{Payment::Kind::miner, node_number(1), 10}});
  pay.epoch = 1;
  expect_error(ledger().settle_task(pay, at(4)), ErrorKind::conflict);  // nobody's yet
  ASSERT_TRUE(ledger().take_session(client.session, node_number(1), at(20), at(10)));
  EXPECT_TRUE(ledger().settle_task(pay, at(25)));  // its time is over, but nobody else has come
  ASSERT_TRUE(ledger().take_session(client.session, node_number(2), at(40), at(30)));
  pay.task = TaskId("task_2");
  expect_error(ledger().settle_task(pay, at(31)), ErrorKind::conflict, "another router");
  expect_error(ledger().close_session(client.session, at(31), 1), ErrorKind::conflict, "another router");
  pay.epoch = 2;
  EXPECT_TRUE(ledger().settle_task(pay, at(32)));
  EXPECT_EQ(*ledger().close_session(client.session, at(33), 2), Credits{80});
  EXPECT_EQ(*ledger().close_session(client.session, at(34), 1), Credits{0});
}

TEST_P(EachLedger, BooksASettlementOnceThatIsSentAgainAsItsAnswerWasLost) {
  const Client client = open_client(ledger(), {1000}, {100});
  const Settlement pay =
      settlement_of(client.session, "task_1", {{Payment::Kind::miner, node_number(1), 10}});
  ASSERT_TRUE(ledger().settle_task(pay, at(4)));
  EXPECT_TRUE(ledger().settle_task(pay, at(5)));
  EXPECT_EQ(ledger().session(client.session)->hold, Credits{90});
  EXPECT_EQ(ledger().settled_task(pay.task, pay.choice)->settled, at(4));
  Settlement other = pay;
  other.receipt = digest_of("another receipt");
  expect_error(ledger().settle_task(other, at(6)), ErrorKind::conflict, "settled already");
  other = pay;
  other.session = *ledger().open_session(spec_for(client.account, {100}), at(5));
  expect_error(ledger().settle_task(other, at(6)), ErrorKind::conflict, "settled already");
  expect_clean(ledger());
}

TEST_P(EachLedger, ExpiresNoSessionThatARouterHas) {
  const Client client = open_client(ledger(), {1000}, {100});  // expires at 1'000'000
  ASSERT_TRUE(ledger().take_session(client.session, node_number(1), at(1'000'010), at(10)));
  EXPECT_TRUE(ledger().expire_sessions(at(1'000'009), {})->empty());
  EXPECT_EQ(ledger().expire_sessions(at(1'000'010), {})->size(), 1u);
}

TEST_P(EachLedger, AdmitsNodesByTokenOnceEach) {
  const std::string token = *ledger().create_join_token(Role::miner, at(100), 1, at(1));
  EXPECT_TRUE(token.starts_with("cjt_"));
  EXPECT_EQ(token.size(), 47u);
  const NodeId one = node_number(1), two = node_number(2);
  expect_error(ledger().admit_node("", one, Role::miner, at(2)), ErrorKind::unauthenticated);
  expect_error(ledger().admit_node("cjt_wrong", one, Role::miner, at(2)), ErrorKind::unauthenticated);
  expect_error(ledger().admit_node(token, one, Role::validator, at(2)), ErrorKind::forbidden, "another role");
  expect_error(ledger().admit_node(token, one, Role::miner, at(100)), ErrorKind::forbidden, "expired");
  expect_error(ledger().admit_node(token, NodeId("not a key"), Role::miner, at(2)), ErrorKind::invalid_input);
  EXPECT_TRUE(ledger().list_nodes()->empty());
  EXPECT_TRUE(ledger().admit_node(token, one, Role::miner, at(3)));
  expect_error(ledger().admit_node(token, two, Role::miner, at(4)), ErrorKind::forbidden, "used up");
  EXPECT_TRUE(ledger().admit_node("", one, Role::miner, at(5)));  // known by its key
  expect_error(ledger().admit_node("", one, Role::validator, at(5)), ErrorKind::unauthenticated);
  const Node seen = *ledger().node(one);
  EXPECT_EQ(seen.first_seen, at(3));
  EXPECT_EQ(seen.last_seen, at(5));
  EXPECT_EQ(seen.roles, std::vector<Role>{Role::miner});
}

TEST_P(EachLedger, QuarantineShutsANodeOutUntilPardoned) {
  const NodeId one = node_number(1);
  expect_error(ledger().quarantine(one, "why", {}, at(1)), ErrorKind::not_found);
  EXPECT_FALSE(*ledger().quarantined(one));
  ASSERT_TRUE(ledger().upsert_node(one, Role::validator, at(1)));
  ASSERT_TRUE(ledger().upsert_node(one, Role::miner, at(2)));
  EXPECT_EQ(*ledger().add_strike(one, "slow", {}, at(2)), 1u);
  EXPECT_EQ(*ledger().add_strike(one, "slower", {}, at(2)), 2u);
  ASSERT_TRUE(ledger().quarantine(one, "wrong at position 3", digest_of("verdict"), at(3)));
  EXPECT_TRUE(*ledger().quarantined(one));
  const Node bad = *ledger().node(one);
  EXPECT_EQ(bad.strikes, 2u);
  EXPECT_EQ(bad.reason, "wrong at position 3");
  EXPECT_EQ(bad.evidence, digest_of("verdict"));
  EXPECT_EQ(bad.roles, (std::vector<Role>{Role::miner, Role::validator}));
  expect_error(ledger().admit_node("", one, Role::miner, at(4)), ErrorKind::forbidden, "quarantined");
  ASSERT_TRUE(ledger().pardon(one, at(5)));
  EXPECT_TRUE(ledger().admit_node("", one, Role::miner, at(6)));
  EXPECT_EQ(ledger().node(one)->strikes, 0u);
}

// Text is data: nothing in it is ever part of a statement, and what is not text at all is refused.
TEST_P(EachLedger, TreatsHostileTextAsText) {
  const std::string injection = "x'); DROP TABLE postings; --";
  const AccountId mallory = *ledger().create_account(injection, at(1));
  EXPECT_EQ(ledger().find_account(injection)->name, injection);
  ASSERT_TRUE(ledger().deposit(mallory, {5}, "' OR '1'='1", at(2)));
  EXPECT_TRUE(ledger().create_account("Ж ∀ 🙂 \" ` %s", at(1)));
  expect_error(ledger().balance(AccountId("' OR 1=1 --")), ErrorKind::not_found);
  expect_error(ledger().find_account("' OR 1=1 --"), ErrorKind::not_found);
  expect_error(ledger().find_by_api_key("' OR 1=1 --"), ErrorKind::unauthenticated);
  const std::string huge(10'000'000, 'a');
  for (const std::string& bad :
       {std::string(), huge, std::string("a\0b", 3), std::string("a\nb"), std::string("\xff\xfe"),
        std::string("\x7f"), std::string("a\u0080"), std::string("\u009f"), std::string("\xc0\xaf"),
        std::string("\xed\xa0\x80")}) {
    expect_error(ledger().create_account(bad, at(1)), ErrorKind::invalid_input);
    expect_error(ledger().deposit(mallory, {5}, bad, at(1)), ErrorKind::invalid_input);
    expect_error(ledger().set_price(bad, {}), ErrorKind::invalid_input);
    expect_error(ledger().find_by_api_key(bad), ErrorKind::unauthenticated);
    expect_error(ledger().session(SessionId(bad)), ErrorKind::not_found);
    expect_error(ledger().settled_task(TaskId(bad), 0), ErrorKind::not_found);
    expect_error(ledger().node(NodeId(bad)), ErrorKind::not_found);
    expect_error(ledger().admit_node(bad, node_number(1), Role::miner, at(1)), ErrorKind::unauthenticated);
  }
  EXPECT_EQ(ledger().postings(Book(injection), 10)->size(), 0u);
  EXPECT_EQ(balance(mallory), Credits{5});
}

}  // namespace
}  // namespace cortensor::ledger::testing
