#include "memory_ledger.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "base/check.h"
#include "base/hex.h"
#include "crypto/random.h"
#include "crypto/sha256.h"
#include "ledger/rules.h"

namespace cortensor::ledger {
namespace {

struct Leg {
  Book book;
  Credits amount;
  std::optional<Payment::Kind> party;
};

struct KeyRecord {
  ApiKey key;
  Digest secret;
};

struct Lease {
  NodeId router;
  std::uint64_t epoch = 0;
  WallTime until;
};

struct JoinToken {
  Role role;
  WallTime expiry;
  std::uint32_t uses_left;
};

class MemoryLedger final : public Ledger {
 public:
  MemoryLedger(TokenSource token, const bool* disk_is_full)
      : token_(std::move(token)), disk_is_full_(disk_is_full) {}

  // ---- accounts ----

  Result<AccountId> create_account(std::string_view name, WallTime now) override {
    if (auto status = check_name("account name", name); !status) return status.error();
    if (find_account(name)) return name_taken(name);
    Account made{AccountId(token_("acct_", kIdCharacters)), std::string(name), {}, now};
    accounts_.push_back(made);
    return made.id;
  }

  Result<NewApiKey> open_account(std::string_view name, Credits opening, std::string_view key_label,
                                 WallTime now) override {
    if (auto status = check_text("label", key_label); !status) return status.error();
    if (opening.micro != 0) {
      if (auto status = check_amount("deposit", opening); !status) return status.error();
      if (balances_[external_book()] - opening < -kMaxSupply) return supply_exceeded();
    }
    const auto account = create_account(name, now);
    if (!account) return account.error();
    if (opening.micro != 0) (void)deposit(*account, opening, "opening " + account->value, now);
    return create_api_key(*account, key_label, now);
  }

  Result<Account> account(const AccountId& id) override {
    for (Account found : accounts_)
      if (found.id == id) {
        found.balance = balances_[book_of(id)];
        return found;
      }
    return no_such("account", id.value);
  }

  Result<Account> find_account(std::string_view name) override {
    for (const Account& found : accounts_)
      if (found.name == name) return account(found.id);
    return no_such("account", name);
  }

  Result<std::vector<Account>> list_accounts() override {
    std::vector<Account> all;
    for (const Account& one : accounts_) all.push_back(*account(one.id));
    std::sort(all.begin(), all.end(), [](const Account& a, const Account& b) { return a.name < b.name; });
    return all;
  }

  Result<Credits> balance(const AccountId& id) override {
    auto found = account(id);
    if (!found) return found.error();
    return found->balance;
  }

  Result<Credits> deposit(const AccountId& id, Credits amount, std::string_view reference,
                          WallTime now) override {
    if (auto status = check_amount("deposit", amount); !status) return status.error();
    if (auto status = check_name("reference", reference); !status) return status.error();
    if (auto found = account(id); !found) return found.error();
    if (used(EntryKind::deposit, reference)) return reference_used(reference);
    if (balances_[external_book()] - amount < -kMaxSupply) return supply_exceeded();
    post(EntryKind::deposit, reference, {{external_book(), -amount, {}}, {book_of(id), amount, {}}}, now);
    return balances_[book_of(id)];
  }

  // ---- API keys ----

  Result<NewApiKey> create_api_key(const AccountId& id, std::string_view label, WallTime now) override {
    if (auto status = check_text("label", label); !status) return status.error();
    if (auto found = account(id); !found) return found.error();
    NewApiKey made{token_("ctk_", kSecretCharacters), {}};
    const Digest secret = crypto::sha256(bytes_of(made.secret));
    made.key = {to_hex(secret).substr(0, 16), id, std::string(label), false, now};
    keys_.push_back({made.key, secret});
    return made;
  }

  Result<AccountId> find_by_api_key(std::string_view secret) override {
    const Digest hash = crypto::sha256(bytes_of(secret));
    for (const KeyRecord& record : keys_)
      if (record.secret == hash && !record.key.revoked) return record.key.account;
    return unknown_secret("API key");
  }

  Result<std::vector<ApiKey>> list_api_keys(const AccountId& id) override {
    if (auto found = account(id); !found) return found.error();
    std::vector<ApiKey> all;
    for (const KeyRecord& record : keys_)
      if (record.key.account == id) all.push_back(record.key);
    return all;
  }

  Status revoke_api_key(std::string_view key_id) override {
    for (KeyRecord& record : keys_)
      if (record.key.id == key_id) {
        record.key.revoked = true;
        return ok();
      }
    return no_such("API key", key_id);
  }

  // ---- prices ----

  Status set_price(std::string_view model, Price price) override {
    if (auto status = check_name("model", model); !status) return status;
    if (auto status = check_price(price); !status) return status;
    prices_[std::string(model)] = price;
    return ok();
  }

  Result<Price> price(std::string_view model) override {
    const auto found = prices_.find(std::string(model));
    if (found == prices_.end()) return no_such("model", model);
    return found->second;
  }

  // ---- sessions ----

  Result<SessionId> open_session(const SessionSpec& spec, WallTime now) override {
    if (auto status = check_spec(spec, now); !status) return status.error();
    const auto free = balance(spec.account);
    if (!free) return free.error();
    const auto costs = price(spec.model);
    if (!costs) return costs.error();
    if (auto status = check_price_limits(spec, *costs); !status) return status.error();
    if (*free < spec.budget) return money_short("the account", *free, spec.budget);
    const SessionId id(token_("sess_", kIdCharacters));
    sessions_.push_back({id, spec, SessionState::open, {}, {}, now, {}});
    post(EntryKind::hold, id.value,
         {{book_of(spec.account), -spec.budget, {}}, {book_of(id), spec.budget, {}}}, now);
    return id;
  }

  Result<Session> session(const SessionId& id) override {
    const Session* found = find(id);
    if (!found) return no_such("session", id.value);
    return with_hold(*found);
  }

  Result<std::vector<Session>> list_sessions(const AccountId& id, std::size_t limit,
                                             const std::optional<SessionId>& after) override {
    if (auto found = account(id); !found) return found.error();
    if (after && (!find(*after) || find(*after)->spec.account != id)) return no_such("session", after->value);
    std::vector<Session> page;
    bool begun = !after;
    for (auto one = sessions_.rbegin(); one != sessions_.rend() && page.size() < limit; ++one) {
      if (begun && one->spec.account == id) page.push_back(with_hold(*one));
      begun |= after == one->id;
    }
    return page;
  }

  Result<std::vector<Session>> list_open_sessions() override {
    std::vector<Session> all;
    for (const Session& one : sessions_)
      if (one.state == SessionState::open) all.push_back(with_hold(one));
    return all;
  }

  Result<Credits> hold_balance(const SessionId& id) override {
    if (!find(id)) return no_such("session", id.value);
    return balances_[book_of(id)];
  }

  Result<Credits> close_session(const SessionId& id, WallTime now,
                                std::optional<std::uint64_t> epoch) override {
    Session* found = find(id);
    if (!found) return no_such("session", id.value);
    if (found->state != SessionState::open) return Credits{};
    if (epoch && *epoch != leases_[id].epoch) return epoch_over(id);
    return end(*found, SessionState::closed, now);
  }

  Result<std::vector<Released>> expire_sessions(WallTime now, std::span<const SessionId> busy) override {
    std::vector<Released> released;
    for (Session& one : sessions_) {
      if (one.state != SessionState::open || one.spec.expiry > now) continue;
      if (std::find(busy.begin(), busy.end(), one.id) != busy.end() || leases_[one.id].until > now) continue;
      released.push_back({one.id, end(one, SessionState::expired, now)});
    }
    return released;
  }

  Result<std::uint64_t> take_session(const SessionId& id, const NodeId& router, WallTime until,
                                     WallTime now) override {
    if (auto status = check_node(router); !status) return status.error();
    const Session* found = find(id);
    if (!found) return no_such("session", id.value);
    if (found->state != SessionState::open) return session_ended(id, found->state);
    Lease& lease = leases_[id];
    if (lease.router != router) {
      if (lease.until > now) return session_taken(id, lease.router.value);
      lease = {router, lease.epoch + 1, until};
    }
    lease.until = until;
    return lease.epoch;
  }

  // ---- settlement ----

  std::vector<Status> settle_tasks(std::span<const Settlement> settlements, WallTime now) override {
    if (auto status = writable(); !status) return std::vector<Status>(settlements.size(), status);
    std::vector<Status> statuses;
    for (const Settlement& settlement : settlements) statuses.push_back(book(settlement, now));
    return statuses;
  }

  Status book(const Settlement& settlement, WallTime now) {
    const auto total = checked_total(settlement);
    if (!total) return total.error();
    Session* paying = find(settlement.session);
    if (!paying) return no_such("session", settlement.session.value);
    if (const SettledTask* known = find(settlement.task, settlement.choice))
      return settled_again(settlement, known->settlement.session, known->settlement.receipt);
    if (paying->state != SessionState::open) return session_ended(paying->id, paying->state);
    if (settlement.epoch && *settlement.epoch != leases_[paying->id].epoch) return epoch_over(paying->id);
    const Credits hold = balances_[book_of(paying->id)];
    if (*total > hold) return money_short("the session's hold", hold, *total);

    SettledTask task{settlement, now, {}};
    task.settlement.epoch.reset();
    std::erase_if(task.settlement.payments, [](const Payment& payment) { return payment.amount == 0; });
    if (total->micro != 0) {
      std::vector<Leg> legs{{book_of(paying->id), -*total, {}}};
      for (const Payment& payment : task.settlement.payments)
        legs.push_back({book_of(payment.party), Credits{payment.amount}, payment.kind});
      post(EntryKind::settle, task_reference(settlement.task, settlement.choice), legs, now);
      paying->spent += *total;
    }
    tasks_.push_back(std::move(task));
    return ok();
  }

  Result<SettledTask> settled_task(const TaskId& task, std::uint32_t choice) override {
    const SettledTask* found = find(task, choice);
    if (!found) return no_such("settled task", task.value);
    return *found;
  }

  Result<std::vector<SettledTask>> list_tasks(const SessionId& id) override {
    if (!find(id)) return no_such("session", id.value);
    std::vector<SettledTask> all;
    for (const SettledTask& task : tasks_)
      if (task.settlement.session == id) all.push_back(task);
    return all;
  }

  Status reverse_task(const TaskId& id, std::uint32_t choice, std::string_view reason,
                      WallTime now) override {
    if (auto status = check_name("reason", reason); !status) return status;
    SettledTask* task = find(id, choice);
    if (!task) return no_such("settled task", id.value);
    if (task->reversed) return not_reversible(id, choice, "is reversed already");
    if (task->settlement.payments.empty()) return not_reversible(id, choice, "nothing was paid");
    Session& paid = *find(task->settlement.session);
    std::map<Book, Credits> owed;
    std::vector<Leg> legs(1);
    Credits total;
    for (const Payment& payment : task->settlement.payments) {
      legs.push_back({book_of(payment.party), -Credits{payment.amount}, payment.kind});
      owed[book_of(payment.party)] += Credits{payment.amount};
      total += Credits{payment.amount};
    }
    for (const auto& [book, amount] : owed)
      if (balances_[book] < amount) return not_reversible(id, choice, "a party no longer has the money");
    legs[0] = {paid.state == SessionState::open ? book_of(paid.id) : book_of(paid.spec.account), total, {}};
    post(EntryKind::reverse, task_reference(id, choice), legs, now);
    paid.spent -= total;
    task->reversed = std::string(reason);
    return ok();
  }

  // ---- nodes ----

  Result<Node> node(const NodeId& id) override {
    const auto found = nodes_.find(id);
    if (found == nodes_.end()) return no_such("node", id.value);
    Node result = found->second;
    result.balance = balances_[book_of(id)];
    return result;
  }

  Result<std::vector<Node>> list_nodes() override {
    std::vector<Node> all;
    for (const auto& [id, ignored] : nodes_) all.push_back(*node(id));
    return all;
  }

  Status upsert_node(const NodeId& id, Role role, WallTime now) override {
    if (auto status = check_node(id); !status) return status;
    see(id, role, now);
    return ok();
  }

  Result<std::uint32_t> add_strike(const NodeId& id, std::string_view reason,
                                   const std::optional<Digest>& evidence, WallTime) override {
    if (auto status = writable(); !status) return status.error();
    if (auto status = check_name("reason", reason); !status) return status.error();
    const auto found = nodes_.find(id);
    if (found == nodes_.end()) return no_such("node", id.value);
    found->second.reason = reason;
    found->second.evidence = evidence;
    return ++found->second.strikes;
  }

  Status quarantine(const NodeId& id, std::string_view reason, const std::optional<Digest>& evidence,
                    WallTime) override {
    if (auto status = writable(); !status) return status;
    if (auto status = check_name("reason", reason); !status) return status;
    const auto found = nodes_.find(id);
    if (found == nodes_.end()) return no_such("node", id.value);
    found->second.reason = reason;
    found->second.evidence = evidence;
    found->second.quarantined = true;
    return ok();
  }

  Status pardon(const NodeId& id, WallTime) override {
    const auto found = nodes_.find(id);
    if (found == nodes_.end()) return no_such("node", id.value);
    Node& pardoned = found->second;
    pardoned.strikes = 0;
    pardoned.quarantined = false;
    pardoned.reason.clear();
    pardoned.evidence.reset();
    return ok();
  }

  Result<bool> quarantined(const NodeId& id) override {
    const auto found = nodes_.find(id);
    return found != nodes_.end() && found->second.quarantined;
  }

  Result<Credits> pay_out(const NodeId& id, Credits amount, std::string_view reference,
                          WallTime now) override {
    if (auto status = check_amount("payout", amount); !status) return status.error();
    if (auto status = check_name("reference", reference); !status) return status.error();
    if (used(EntryKind::payout, reference)) return reference_used(reference);
    const Credits has = balances_[book_of(id)];
    if (has < amount) return money_short("the node", has, amount);
    post(EntryKind::payout, reference, {{book_of(id), -amount, {}}, {external_book(), amount, {}}}, now);
    return has - amount;
  }

  // ---- admission ----

  Result<std::string> create_join_token(Role role, WallTime expiry, std::uint32_t uses,
                                        WallTime now) override {
    if (auto status = check_join_token(expiry, uses, now); !status) return status.error();
    std::string secret = token_("cjt_", kSecretCharacters);
    join_tokens_.insert_or_assign(crypto::sha256(bytes_of(secret)), JoinToken{role, expiry, uses});
    return secret;
  }

  Status admit_node(std::string_view token, const NodeId& id, Role role, WallTime now) override {
    if (auto status = check_node(id); !status) return status;
    if (const auto known = nodes_.find(id); known != nodes_.end()) {
      const Node& met = known->second;
      if (met.quarantined) return node_quarantined(id, met.reason);
      if (std::find(met.roles.begin(), met.roles.end(), role) != met.roles.end()) {
        see(id, role, now);
        return ok();
      }
    }
    const auto found = join_tokens_.find(crypto::sha256(bytes_of(token)));
    if (found == join_tokens_.end()) return unknown_secret("join token");
    JoinToken& ticket = found->second;
    if (ticket.role != role) return token_refused("is for another role");
    if (ticket.expiry <= now) return token_refused("has expired");
    if (ticket.uses_left == 0) return token_refused("is used up");
    --ticket.uses_left;
    see(id, role, now);
    return ok();
  }

  // ---- the book ----

  Result<std::vector<Posting>> postings(const Book& book, std::size_t limit) override {
    std::vector<Posting> found;
    for (auto one = postings_.rbegin(); one != postings_.rend() && found.size() < limit; ++one)
      if (one->book == book) found.push_back(*one);
    return found;
  }

  Result<std::vector<Posting>> postings(const TaskId& task) override {
    std::vector<Posting> found;
    for (const Posting& one : postings_)
      if ((one.kind == EntryKind::settle || one.kind == EntryKind::reverse) &&
          one.reference.starts_with(task.value + "/"))
        found.push_back(one);
    return found;
  }

  Result<Credits> balance(const Book& book) override { return balances_[book]; }

  Result<AuditReport> audit() override {
    AuditReport report;
    report.postings = postings_.size();
    report.tasks = tasks_.size();
    std::map<std::uint64_t, Credits> entries;
    std::map<Book, Credits> sums;
    for (const Posting& one : postings_) {
      entries[one.entry] += one.amount;
      sums[one.book] += one.amount;
    }
    report.entries = entries.size();
    for (const auto& [entry, sum] : entries)
      if (sum.micro != 0) report.violation = "entry " + std::to_string(entry) + " does not balance";
    for (const auto& [book, amount] : balances_)
      if (amount != sums[book] || (amount.micro < 0 && book != external_book()))
        report.violation = "balance of " + book.value;
    for (const Session& one : sessions_)
      if (balances_[book_of(one.id)] !=
          (one.state == SessionState::open ? one.spec.budget - one.spent : Credits{}))
        report.violation = "hold of " + one.id.value;
    return report;
  }

 private:
  Status writable() const {
    if (disk_is_full_ != nullptr && *disk_is_full_) return fail(ErrorKind::unavailable, "the disk is full");
    return ok();
  }

  Session* find(const SessionId& id) {
    const auto found =
        std::find_if(sessions_.begin(), sessions_.end(), [&](const Session& s) { return s.id == id; });
    return found == sessions_.end() ? nullptr : &*found;
  }

  SettledTask* find(const TaskId& id, std::uint32_t choice) {
    const auto found = std::find_if(tasks_.begin(), tasks_.end(), [&](const SettledTask& t) {
      return t.settlement.task == id && t.settlement.choice == choice;
    });
    return found == tasks_.end() ? nullptr : &*found;
  }

  Session with_hold(Session one) {
    one.hold = balances_[book_of(one.id)];
    return one;
  }

  bool used(EntryKind kind, std::string_view reference) const {
    return std::any_of(postings_.begin(), postings_.end(),
                       [&](const Posting& p) { return p.kind == kind && p.reference == reference; });
  }

  void post(EntryKind kind, std::string_view reference, const std::vector<Leg>& legs, WallTime now) {
    ++entries_;
    Credits sum;
    for (const Leg& leg : legs) {
      sum += leg.amount;
      Credits& balance = balances_[leg.book];
      balance += leg.amount;
      CORTENSOR_CHECK(balance.micro >= 0 || leg.book == external_book());
      postings_.push_back({entries_, kind, std::string(reference), leg.book, leg.amount, leg.party, now});
    }
    CORTENSOR_CHECK(sum.micro == 0);
  }

  Credits end(Session& one, SessionState state, WallTime now) {
    const Credits rest = balances_[book_of(one.id)];
    if (rest.micro != 0)
      post(EntryKind::release, one.id.value,
           {{book_of(one.id), -rest, {}}, {book_of(one.spec.account), rest, {}}}, now);
    one.state = state;
    one.ended = now;
    return rest;
  }

  void see(const NodeId& id, Role role, WallTime now) {
    const auto [found, added] = nodes_.try_emplace(id);
    Node& seen = found->second;
    if (added) {
      seen.id = id;
      seen.first_seen = seen.last_seen = now;
    }
    seen.last_seen = std::max(seen.last_seen, now);
    const auto at = std::lower_bound(seen.roles.begin(), seen.roles.end(), role);
    if (at == seen.roles.end() || *at != role) seen.roles.insert(at, role);
  }

  TokenSource token_;
  const bool* disk_is_full_;
  std::uint64_t entries_ = 0;
  std::vector<Account> accounts_;
  std::vector<KeyRecord> keys_;
  std::map<std::string, Price> prices_;
  std::vector<Session> sessions_;
  std::map<SessionId, Lease> leases_;
  std::vector<SettledTask> tasks_;
  std::map<NodeId, Node> nodes_;
  std::map<Digest, JoinToken> join_tokens_;
  std::vector<Posting> postings_;
  std::map<Book, Credits> balances_;
};

}  // namespace

std::unique_ptr<Ledger> make_memory_ledger(TokenSource token, const bool* disk_is_full) {
  return std::make_unique<MemoryLedger>(token ? std::move(token) : TokenSource(crypto::random_token),
                                        disk_is_full);
}

}  // namespace cortensor::ledger
