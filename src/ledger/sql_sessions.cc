// Sessions and settlement: money into a hold, out of it to those who worked, the rest back.
#include <algorithm>
#include <limits>
#include <map>
#include <sstream>

#include "ledger/batch_store.h"
#include "ledger/sql_ledger.h"

namespace cortensor::ledger {
namespace {

Session session_of(const Query& row) {
  Session session;
  session.id = SessionId(row.text(0));
  SessionSpec& spec = session.spec;
  spec.account = AccountId(row.text(1));
  spec.model = row.text(2);
  spec.budget = row.credits(3);
  if (!row.is_null(4)) spec.max_prompt_price = row.credits(4);
  if (!row.is_null(5)) spec.max_completion_price = row.credits(5);
  spec.validation = {row.one_of(6, ValidationLevel::quorum), row.number(7), row.number(8), row.number(9)};
  spec.redundancy = row.number(10);
  spec.expiry = row.time(11);
  spec.label = row.text(12);
  spec.implicit = row.flag(13);
  session.state = row.one_of(14, SessionState::expired);
  session.hold = row.credits(15);
  session.spent = row.credits(16);
  session.opened = row.time(17);
  if (!row.is_null(18)) session.ended = row.time(18);
  spec.service = {row.number(20), row.number(21), row.number(22), {}};
  std::istringstream miners(row.text(23));
  for (std::string miner; miners >> miner;) spec.service.miners.emplace_back(miner);
  return session;
}

std::vector<Session> sessions_of(Query rows) {
  std::vector<Session> all;
  while (rows.next()) all.push_back(session_of(rows));
  return all;
}

}  // namespace

std::optional<Session> SqlLedger::session_row(const SessionId& id) {
  Query row = db_.query("SELECT * FROM session_rows WHERE id = $1", id);
  if (!row.next()) return std::nullopt;
  return session_of(row);
}

Result<SessionId> SqlLedger::open_session(const SessionSpec& spec, WallTime now) {
  if (auto status = check_spec(spec, now); !status) return status.error();
  return db_.change([&]() -> Result<SessionId> {
    if (!exists(spec.account)) return no_such("account", spec.account.value);
    Price costs;
    {
      Query row = db_.query("SELECT prompt, completion FROM prices WHERE model = $1", spec.model);
      if (!row.next()) return no_such("model", spec.model);
      costs = {row.credits(0), row.credits(1)};
    }
    if (auto status = check_price_limits(spec, costs); !status) return status.error();
    const Credits free = amount_in(book_of(spec.account));
    if (free < spec.budget) return money_short("the account", free, spec.budget);

    SessionId id(token_("sess_", kIdCharacters));
    const Validation& v = spec.validation;
    const ServiceLevel& service = spec.service;
    std::string miners;
    for (const NodeId& miner : service.miners) miners += (miners.empty() ? "" : " ") + miner.value;
    db_.run(
        "INSERT INTO sessions (id, account, model, budget, max_prompt_price, max_completion_price, level, "
        "spot_ppm,"
        " quorum_k, quorum_n, redundancy, expiry, label, implicit, state, spent, opened,"
        " min_tokens_per_second, max_first_token_ms, min_reliability_ppm, miners)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 0, 0, $15, $16, $17, $18, "
        "$19)",
        id, spec.account, spec.model, spec.budget, spec.max_prompt_price, spec.max_completion_price, v.level,
        v.spot_ppm, v.quorum_k, v.quorum_n, spec.redundancy, spec.expiry, spec.label, spec.implicit, now,
        service.min_tokens_per_second, service.max_first_token_ms, service.min_reliability_ppm, miners);
    const Leg legs[] = {{book_of(spec.account), -spec.budget}, {book_of(id), spec.budget}};
    post(EntryKind::hold, id.value, legs, now);
    return id;
  });
}

Result<Session> SqlLedger::session(const SessionId& id) {
  return db_.read([&]() -> Result<Session> {
    auto found = session_row(id);
    if (!found) return no_such("session", id.value);
    return *std::move(found);
  });
}

Result<std::vector<Session>> SqlLedger::list_sessions(const AccountId& account, std::size_t limit,
                                                      const std::optional<SessionId>& after) {
  return db_.read([&]() -> Result<std::vector<Session>> {
    if (!exists(account)) return no_such("account", account.value);
    std::int64_t before = std::numeric_limits<std::int64_t>::max();
    if (after) {
      auto row = db_.query("SELECT number FROM sessions WHERE id = $1 AND account = $2", *after, account);
      if (!row.next()) return no_such("session", after->value);
      before = row.integer(0);
    }
    return sessions_of(db_.query(
        "SELECT * FROM session_rows WHERE account = $1 AND number < $2 ORDER BY number DESC LIMIT $3",
        account, before, static_cast<std::int64_t>(limit)));
  });
}

Result<std::vector<Session>> SqlLedger::list_open_sessions() {
  return db_.read([&]() -> Result<std::vector<Session>> {
    return sessions_of(db_.query("SELECT * FROM session_rows WHERE state = 0 ORDER BY number"));
  });
}

Result<Credits> SqlLedger::hold_balance(const SessionId& id) {
  auto found = session(id);
  if (!found) return found.error();
  return found->hold;
}

Credits SqlLedger::end(const Session& session, SessionState state, WallTime now) {
  if (session.hold.micro != 0) {
    const Leg legs[] = {{book_of(session.id), -session.hold}, {book_of(session.spec.account), session.hold}};
    post(EntryKind::release, session.id.value, legs, now);
  }
  db_.run("UPDATE sessions SET state = $1, ended = $2 WHERE id = $3", state, now, session.id);
  return session.hold;
}

Result<Credits> SqlLedger::close_session(const SessionId& id, WallTime now,
                                         std::optional<std::uint64_t> epoch) {
  return db_.change([&]() -> Result<Credits> {
    const auto found = session_row(id);
    if (!found) return no_such("session", id.value);
    if (found->state != SessionState::open) return Credits{};
    if (epoch && *epoch != lease_of(id).epoch) return epoch_over(id);
    return end(*found, SessionState::closed, now);
  });
}

Result<std::vector<Released>> SqlLedger::expire_sessions(WallTime now, std::span<const SessionId> busy) {
  auto due = db_.read([&]() -> Result<std::vector<SessionId>> {
    std::vector<SessionId> ids;
    Query row = db_.query("SELECT id FROM sessions WHERE state = 0 AND expiry <= $1 ORDER BY number", now);
    while (row.next()) ids.emplace_back(row.text(0));
    return ids;
  });
  if (!due) return due.error();
  std::vector<Released> released;
  for (const SessionId& id : *due) {
    if (std::find(busy.begin(), busy.end(), id) != busy.end()) continue;
    // Asked again: another process may have closed it meanwhile, or begun to work on it.
    auto rest = db_.change([&]() -> Result<std::optional<Credits>> {
      const auto found = session_row(id);
      if (!found || found->state != SessionState::open || lease_of(id).until > now) return std::nullopt;
      return end(*found, SessionState::expired, now);
    });
    if (!rest) return rest.error();
    if (*rest) released.push_back({id, **rest});
  }
  return released;
}

// ---- ownership ----

SqlLedger::Lease SqlLedger::lease_of(const SessionId& id) {
  Query row = db_.query("SELECT router, epoch, until FROM session_leases WHERE session = $1", id);
  if (!row.next()) return {};
  return {NodeId(row.text(0)), static_cast<std::uint64_t>(row.integer(1)), row.time(2)};
}

// In turn with settlements, so that a new owner finds everything booked that its predecessor could book.
Result<std::uint64_t> SqlLedger::take_session(const SessionId& id, const NodeId& router, WallTime until,
                                              WallTime now) {
  if (auto status = check_node(router); !status) return status.error();
  return db_.change_in_turn([&]() -> Result<std::uint64_t> {
    const auto found = session_row(id);
    if (!found) return no_such("session", id.value);
    if (found->state != SessionState::open) return session_ended(id, found->state);
    const Lease lease = lease_of(id);
    const bool kept = lease.router == router;
    if (!kept && lease.until > now) return session_taken(id, lease.router.value);
    const std::uint64_t epoch = kept ? lease.epoch : lease.epoch + 1;
    db_.run(
        "INSERT INTO session_leases (session, router, epoch, until) VALUES ($1, $2, $3, $4) ON CONFLICT "
        "(session)"
        " DO UPDATE SET router = excluded.router, epoch = excluded.epoch, until = excluded.until",
        id, router, epoch, until);
    return epoch;
  });
}

// ---- settlement ----

std::vector<Status> SqlLedger::settle_tasks(std::span<const Settlement> settlements, WallTime now) {
  std::vector<Status> statuses;
  const Status stored = db_.change_in_turn([&]() -> Status {
    statuses.clear();
    for (const Settlement& settlement : settlements) statuses.push_back(book_settlement(settlement, now));
    return ok();
  });
  if (!stored) statuses.assign(settlements.size(), stored);
  return statuses;
}

// Checks everything before it writes anything, so that a refusal leaves the transaction as it was.
Status SqlLedger::book_settlement(const Settlement& settlement, WallTime now) {
  const auto total = checked_total(settlement);
  if (!total) return total.error();
  const auto paying = session_row(settlement.session);
  if (!paying) return no_such("session", settlement.session.value);
  {
    Query known = db_.query("SELECT session, receipt FROM tasks WHERE id = $1 AND choice = $2",
                            settlement.task, settlement.choice);
    if (known.next()) return settled_again(settlement, SessionId(known.text(0)), known.digest(1));
  }
  if (paying->state != SessionState::open) return session_ended(paying->id, paying->state);
  if (settlement.epoch && *settlement.epoch != lease_of(paying->id).epoch) return epoch_over(paying->id);
  if (*total > paying->hold) return money_short("the session's hold", paying->hold, *total);
  if (settlement.line)
    if (auto status = check_line(db_, *settlement.line); !status) return status;

  std::optional<std::int64_t> entry;
  if (total->micro != 0) {
    std::vector<Leg> legs{{book_of(paying->id), -*total}};
    for (const Payment& payment : settlement.payments)
      if (payment.amount != 0)
        legs.push_back({book_of(payment.party), Credits{payment.amount}, payment.kind});
    entry = post(EntryKind::settle, task_reference(settlement.task, settlement.choice), legs, now);
    db_.run("UPDATE sessions SET spent = spent + $1 WHERE id = $2", *total, paying->id);
  }
  db_.run(
      "INSERT INTO tasks (id, choice, session, entry, prompt_tokens, completion_tokens, outcome, receipt, "
      "settled)"
      " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
      settlement.task, settlement.choice, settlement.session, entry, settlement.usage.prompt_tokens,
      settlement.usage.completion_tokens, settlement.outcome, settlement.receipt, now);
  if (settlement.line) write_line(db_, *settlement.line);
  return ok();
}

std::vector<SettledTask> SqlLedger::tasks_of(Query row) {
  std::vector<SettledTask> all;
  while (row.next()) {
    SettledTask task;
    Settlement& s = task.settlement;
    s.task = TaskId(row.text(0));
    s.choice = row.number(1);
    s.session = SessionId(row.text(2));
    s.usage = {static_cast<std::uint64_t>(row.integer(4)), static_cast<std::uint64_t>(row.integer(5))};
    s.outcome = row.one_of(6, TaskOutcome::failed);
    s.receipt = row.digest(7);
    task.settled = row.time(8);
    if (!row.is_null(9)) task.reversed = row.text(9);
    Query leg = db_.query(
        "SELECT substr(book, 6), amount, party FROM postings WHERE entry = $1 AND party IS NOT NULL ORDER BY "
        "id",
        row.integer(3));
    while (leg.next())
      s.payments.push_back({leg.one_of(2, Payment::Kind::router), NodeId(leg.text(0)), leg.integer(1)});
    all.push_back(std::move(task));
  }
  return all;
}

Result<SettledTask> SqlLedger::settled_task(const TaskId& id, std::uint32_t choice) {
  return db_.read([&]() -> Result<SettledTask> {
    auto found = tasks_of(db_.query(
        "SELECT id, choice, session, entry, prompt_tokens, completion_tokens, outcome, receipt, settled,"
        " reversal_reason FROM tasks WHERE id = $1 AND choice = $2",
        id, choice));
    if (found.empty()) return no_such("settled task", id.value);
    return std::move(found[0]);
  });
}

Result<std::vector<SettledTask>> SqlLedger::list_tasks(const SessionId& id) {
  return db_.read([&]() -> Result<std::vector<SettledTask>> {
    if (!session_row(id)) return no_such("session", id.value);
    return tasks_of(db_.query(
        "SELECT id, choice, session, entry, prompt_tokens, completion_tokens, outcome, receipt, settled,"
        " reversal_reason FROM tasks WHERE session = $1 ORDER BY number",
        id));
  });
}

Status SqlLedger::reverse_task(const TaskId& id, std::uint32_t choice, std::string_view reason,
                               WallTime now) {
  if (auto status = check_name("reason", reason); !status) return status;
  return db_.change_in_turn([&]() -> Status {
    SessionId session;
    std::int64_t entry = 0;
    {
      Query task = db_.query(
          "SELECT session, entry, reversal_reason FROM tasks WHERE id = $1 AND choice = $2", id, choice);
      if (!task.next()) return no_such("settled task", id.value);
      if (!task.is_null(2)) return not_reversible(id, choice, "is reversed already");
      if (task.is_null(1)) return not_reversible(id, choice, "nothing was paid");
      session = SessionId(task.text(0));
      entry = task.integer(1);
    }
    const auto paid = session_row(session);
    if (!paid) return no_such("session", session.value);

    std::vector<Leg> legs(1);
    std::map<Book, Credits> owed;  // one node may have been paid twice, as miner and as validator
    Credits total;
    Query leg = db_.query(
        "SELECT book, amount, party FROM postings WHERE entry = $1 AND party IS NOT NULL ORDER BY id", entry);
    while (leg.next()) {
      const Book book(leg.text(0));
      legs.push_back({book, -leg.credits(1), leg.one_of(2, Payment::Kind::router)});
      owed[book] += leg.credits(1);
      total += leg.credits(1);
    }
    for (const auto& [book, amount] : owed)
      if (amount_in(book) < amount) return not_reversible(id, choice, "a party no longer has the money");
    legs[0] = {paid->state == SessionState::open ? book_of(paid->id) : book_of(paid->spec.account), total};
    post(EntryKind::reverse, task_reference(id, choice), legs, now);
    db_.run("UPDATE sessions SET spent = spent - $1 WHERE id = $2", total, session);
    db_.run("UPDATE tasks SET reversal_reason = $1 WHERE id = $2 AND choice = $3", reason, id, choice);
    return ok();
  });
}

}  // namespace cortensor::ledger
