// Claim: on any sequence of calls the ledger in SQLite or PostgreSQL answers exactly as the memory ledger
// does, errors and their messages included, and its books are clean. Tried with seeded random sequences over
// a small world, so that ids are reused, money runs short and sessions expire; the store is closed and opened
// again in between.
#include <random>

#include "fault_vfs.h"
#include "ledger_fixture.h"
#include "memory_ledger.h"

namespace cortensor::ledger::testing {
namespace {

template <class T>
void expect_same(const Result<T>& a, const Result<T>& b) {
  ASSERT_EQ(a.has_value(), b.has_value()) << (a ? b.error().message : a.error().message);
  if (!a) {
    EXPECT_EQ(to_string(a.error().kind), to_string(b.error().kind));
    EXPECT_EQ(a.error().message, b.error().message);
  }
}

template <class T>
void expect_equal(const Result<T>& a, const Result<T>& b) {
  expect_same(a, b);
  if (a && b) {
    EXPECT_TRUE(*a == *b);
  }
}

class World {
 public:
  World(std::uint64_t seed, std::string path)
      : random_(seed),
        model_(make_memory_ledger(counted_tokens("same"))),
        token_(counted_tokens("same")),
        path_(std::move(path)) {
    disarm();  // registers the VFS, which does not sync: these sequences are long
    reopen();
  }

  void step() {
    now_ += pick(50);
    switch (pick(22)) {
      case 0:
        return create_account();
      case 1:
      case 2:
        return deposit();
      case 3:
        return keys();
      case 4:
        return set_price();
      case 5:
      case 6:
      case 7:
        return open_session();
      case 8:
        return close_session();
      case 9:
        return expire_sessions();
      case 10:
        return reverse_task();
      case 11:
        return node_conduct();
      case 12:
        return pay_out();
      case 13:
        return create_join_token();
      case 14:
        return admit_node();
      case 15:
        return pick(8) == 0 ? reopen() : compare_some();
      case 16:
      case 17:
        return take_session();
      default:
        return settle_task();
    }
  }

  void compare_all() {
    expect_equal(model_->list_accounts(), store_->list_accounts());
    expect_equal(model_->list_open_sessions(), store_->list_open_sessions());
    expect_equal(model_->list_nodes(), store_->list_nodes());
    for (const AccountId& id : accounts_) {
      expect_equal(model_->list_sessions(id, 1000, {}), store_->list_sessions(id, 1000, {}));
      expect_equal(model_->list_api_keys(id), store_->list_api_keys(id));
      expect_equal(model_->postings(book_of(id), 1000), store_->postings(book_of(id), 1000));
    }
    for (const SessionId& id : sessions_) {
      expect_equal(model_->list_tasks(id), store_->list_tasks(id));
      expect_equal(model_->postings(book_of(id), 3), store_->postings(book_of(id), 3));
    }
    for (int task = 0; task < 40; ++task)
      expect_equal(model_->postings(task_id(task)), store_->postings(task_id(task)));
    expect_equal(model_->balance(external_book()), store_->balance(external_book()));
    expect_clean(*model_);
    expect_clean(*store_);
  }

  std::uint64_t paid_tasks() const { return paid_tasks_; }

 private:
  std::int64_t pick(std::int64_t below) {
    return static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(below));
  }
  template <class T>
  T any(const std::vector<T>& of) {
    return of.empty() || pick(20) == 0 ? T("unknown") : of[static_cast<std::size_t>(pick(std::ssize(of)))];
  }
  WallTime now() const { return at(now_); }
  NodeId any_node() { return node_number(static_cast<int>(pick(4))); }
  Role any_role() { return pick(2) ? Role::miner : Role::validator; }
  static TaskId task_id(std::int64_t n) { return TaskId("task_" + std::to_string(n)); }
  std::string any_model() { return "model " + std::to_string(pick(3)); }

  void reopen() {
    store_.reset();
    LedgerOptions options;
    options.sqlite_vfs = kFaultVfs;
    options.token = [this](std::string_view prefix, int n) { return token_(prefix, n); };
    store_ = must_open(path_, std::move(options));
  }
  void compare_some() {
    const SessionId session = any(sessions_);
    expect_equal(model_->session(session), store_->session(session));
    expect_equal(model_->hold_balance(session), store_->hold_balance(session));
    const std::string model = any_model();
    expect_equal(model_->price(model), store_->price(model));
    const AccountId account = any(accounts_);
    expect_equal(model_->account(account), store_->account(account));
    expect_equal(model_->balance(account), store_->balance(account));
  }
  void create_account() {
    const std::string name = "name " + std::to_string(pick(8));
    const auto a = model_->create_account(name, now()), b = store_->create_account(name, now());
    expect_equal(a, b);
    if (a) accounts_.push_back(*a);
  }
  void deposit() {
    const AccountId account = any(accounts_);
    const Credits amount{pick(2000) - 50};
    const std::string reference = std::to_string(pick(60));
    expect_equal(model_->deposit(account, amount, reference, now()),
                 store_->deposit(account, amount, reference, now()));
  }
  void keys() {
    const AccountId account = any(accounts_);
    const auto a = model_->create_api_key(account, "key", now()),
               b = store_->create_api_key(account, "key", now());
    expect_same(a, b);
    if (a) {
      EXPECT_EQ(a->secret, b->secret);
      EXPECT_EQ(a->key, b->key);
      secrets_.push_back(a->secret);
      key_ids_.push_back(a->key.id);
    }
    const std::string secret = any(secrets_);
    expect_equal(model_->find_by_api_key(secret), store_->find_by_api_key(secret));
    if (pick(3) == 0) {
      const std::string id = any(key_ids_);
      expect_equal(model_->revoke_api_key(id), store_->revoke_api_key(id));
    }
  }
  void set_price() {
    const std::string model = any_model();
    const Price price{{pick(5)}, {pick(5) - 1}};
    expect_equal(model_->set_price(model, price), store_->set_price(model, price));
  }
  void open_session() {
    SessionSpec spec;
    spec.account = any(accounts_);
    spec.model = any_model();
    spec.budget = {pick(1500)};
    if (pick(2)) spec.max_prompt_price = Credits{pick(5)};
    if (pick(3) == 0) spec.max_completion_price = Credits{pick(5)};
    if (pick(2)) spec.validation = {ValidationLevel::spot, static_cast<std::uint32_t>(pick(kMillion)), 0, 0};
    spec.expiry = at(now_ + pick(2000));
    spec.label = "label";
    if (pick(2))
      spec.service = {static_cast<std::uint32_t>(pick(100)),
                      static_cast<std::uint32_t>(pick(1000)),
                      static_cast<std::uint32_t>(pick(kMillion)),
                      {NodeId(std::string(64, 'a')), NodeId(std::string(64, 'b'))}};
    spec.implicit = pick(2) == 0;
    const auto a = model_->open_session(spec, now()), b = store_->open_session(spec, now());
    expect_equal(a, b);
    if (a) sessions_.push_back(*a);
  }
  void close_session() {
    const SessionId session = any(sessions_);
    const auto epoch = any_epoch();
    expect_equal(model_->close_session(session, now(), epoch), store_->close_session(session, now(), epoch));
  }
  std::optional<std::uint64_t> any_epoch() {
    if (pick(3)) return std::nullopt;
    return static_cast<std::uint64_t>(pick(4));
  }
  void take_session() {
    const SessionId session = any(sessions_);
    const NodeId router = any_node();
    const WallTime until = at(now_ + pick(200));
    expect_equal(model_->take_session(session, router, until, now()),
                 store_->take_session(session, router, until, now()));
  }
  void expire_sessions() {
    std::vector<SessionId> busy;
    if (!sessions_.empty()) busy.push_back(any(sessions_));
    expect_equal(model_->expire_sessions(now(), busy), store_->expire_sessions(now(), busy));
  }
  void settle_task() {
    Settlement s;
    s.task = task_id(pick(40));
    s.choice = static_cast<std::uint32_t>(pick(2));
    s.session = any(sessions_);
    s.outcome = static_cast<TaskOutcome>(pick(10) < 7 ? pick(3) : pick(5));
    for (std::int64_t n = pick(4); n > 0; --n)
      s.payments.push_back({static_cast<Payment::Kind>(pick(3)), any_node(), pick(30) == 0 ? -1 : pick(150)});
    s.usage = {static_cast<std::uint64_t>(pick(100)), static_cast<std::uint64_t>(pick(100))};
    s.epoch = any_epoch();
    s.receipt = digest_of(std::to_string(pick(1000)));
    const auto a = model_->settle_task(s, now()), b = store_->settle_task(s, now());
    expect_equal(a, b);
    paid_tasks_ += a && !s.payments.empty();
    expect_equal(model_->settled_task(s.task, s.choice), store_->settled_task(s.task, s.choice));
  }
  void reverse_task() {
    const TaskId task = task_id(pick(40));
    expect_equal(model_->reverse_task(task, 0, "reason", now()),
                 store_->reverse_task(task, 0, "reason", now()));
  }
  void node_conduct() {
    const NodeId node = any_node();
    std::optional<Digest> evidence;
    if (pick(2)) evidence = digest_of("evidence");
    switch (pick(4)) {
      case 0:
        expect_equal(model_->add_strike(node, "a", evidence, now()),
                     store_->add_strike(node, "a", evidence, now()));
        break;
      case 1:
        expect_equal(model_->quarantine(node, "b", evidence, now()),
                     store_->quarantine(node, "b", evidence, now()));
        break;
      case 2:
        expect_equal(model_->pardon(node, now()), store_->pardon(node, now()));
        break;
      default: {
        const Role role = any_role();
        expect_equal(model_->upsert_node(node, role, now()), store_->upsert_node(node, role, now()));
      }
    }
    expect_equal(model_->quarantined(node), store_->quarantined(node));
    expect_equal(model_->node(node), store_->node(node));
  }
  void pay_out() {
    const NodeId node = any_node();
    const Credits amount{pick(200)};
    const std::string reference = std::to_string(pick(60));
    expect_equal(model_->pay_out(node, amount, reference, now()),
                 store_->pay_out(node, amount, reference, now()));
  }
  void create_join_token() {
    const Role role = any_role();
    const auto expiry = at(now_ + pick(1000));
    const auto uses = static_cast<std::uint32_t>(pick(3));
    const auto a = model_->create_join_token(role, expiry, uses, now());
    expect_equal(a, store_->create_join_token(role, expiry, uses, now()));
    if (a) join_tokens_.push_back(*a);
  }
  void admit_node() {
    const std::string token = any(join_tokens_);
    const NodeId node = any_node();
    const Role role = any_role();
    expect_equal(model_->admit_node(token, node, role, now()), store_->admit_node(token, node, role, now()));
  }

  std::mt19937_64 random_;
  std::unique_ptr<Ledger> model_;
  TokenSource token_;
  std::string path_;
  std::unique_ptr<Ledger> store_;
  std::int64_t now_ = 0;
  std::uint64_t paid_tasks_ = 0;
  std::vector<AccountId> accounts_;
  std::vector<SessionId> sessions_;
  std::vector<std::string> secrets_, key_ids_, join_tokens_;
};

class AgainstMemory : public EachStore {};
INSTANTIATE_TEST_SUITE_P(Stores, AgainstMemory, ::testing::Values("sqlite", "postgres"), store_name);

TEST_P(AgainstMemory, AnswersAlikeOnRandomSequences) {
  std::uint64_t paid = 0;
  const std::uint64_t seeds = in_postgres() ? 8 : 25;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world(seed, new_store());
    for (int i = 0; i < 500 && !::testing::Test::HasFailure(); ++i) {
      SCOPED_TRACE("step " + std::to_string(i));
      world.step();
    }
    world.compare_all();
    if (::testing::Test::HasFailure()) return;
    paid += world.paid_tasks();
  }
  EXPECT_GT(paid, 4 * seeds);  // the sequences do reach what matters
}

}  // namespace
}  // namespace cortensor::ledger::testing
