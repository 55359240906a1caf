#include "router/core/session_book.h"

#include <algorithm>

#include "base/log.h"

namespace cortensor::router {
namespace {

// An implicit session is replaced this long before its end, so that no task outlives its hold.
constexpr std::chrono::seconds kMargin{120};
// Of an account's sessions, those among which one is looked for that another router left.
constexpr std::size_t kLatest = 100;

std::string implicit_name(const AccountId& account, std::string_view label, std::string_view model) {
  return account.value + "/" + std::string(label) + "/" + std::string(model);
}

}  // namespace

SessionBook::SessionBook(ledger::Ledger& ledger, const CoreOptions& options, NodeId router)
    : ledger_(ledger), options_(options), router_(std::move(router)) {
  const auto open = ledger_.list_open_sessions();
  if (!open) return;
  for (const ledger::Session& session : *open)
    if (session.spec.implicit)
      implicit_[implicit_name(session.spec.account, session.spec.label, session.spec.model)] = session.id;
}

Result<ledger::Session> SessionBook::open(ledger::SessionSpec spec, WallTime now) {
  if (spec.expiry <= now) return fail(ErrorKind::invalid_input, "expiry: expected a time to come");
  if (spec.expiry > now + options_.max_session_lifetime)
    return fail(ErrorKind::invalid_input, "expiry: expected at most " +
                                              std::to_string(options_.max_session_lifetime.count()) +
                                              " seconds from now");
  auto id = ledger_.open_session(spec, now);
  if (!id) return std::move(id).error();
  return ledger_.session(*id);
}

Result<ledger::Session> SessionBook::find(const AccountId& account, const SessionId& session) {
  auto found = ledger_.session(session);
  if (!found && found.error().kind != ErrorKind::not_found && found.error().kind != ErrorKind::invalid_input)
    return std::move(found).error();
  if (!found || found->spec.account != account) return fail(ErrorKind::not_found, "there is no such session");
  return found;
}

Result<ledger::Session> SessionBook::implicit(const AccountId& account, std::string_view key_id,
                                              std::string_view model, Credits need, WallTime now) {
  const std::string label = "key:" + std::string(key_id);
  const std::string name = implicit_name(account, label, model);
  if (const auto known = implicit_.find(name); known != implicit_.end()) {
    const SessionId id = known->second;
    auto session = ledger_.session(id);
    if (!session) return std::move(session).error();
    const bool ours = hold(id, now).has_value();
    const bool usable = session->state == ledger::SessionState::open && session->spec.expiry > now + kMargin;
    if (ours && usable && session->hold - reserved(id) >= need) return session;
    implicit_.erase(known);
    if (tasks(id) > 0) {
      outgrown_[id] = account;
    } else if (ours) {
      if (auto closed = end(id, now); !closed) return std::move(closed).error();
    }
  }
  const auto balance = ledger_.balance(account);
  if (!balance) return balance.error();
  if (*balance < need) {
    auto adopted = adopt(account, label, model, need, now);
    if (adopted) implicit_[name] = adopted->id;
    if (adopted || adopted.error().kind == ErrorKind::unavailable) return adopted;
    return fail(ErrorKind::payment_required, "this request may cost " + to_string(need) +
                                                 " credits, the account has " + to_string(*balance) +
                                                 " free");
  }
  ledger::SessionSpec spec;
  spec.account = account;
  spec.model = model;
  spec.budget = std::min(*balance, std::max(options_.implicit_budget, need));
  spec.expiry = now + options_.implicit_lifetime + kMargin;
  spec.label = label;
  spec.implicit = true;
  if (spec.budget.micro == 0) return fail(ErrorKind::payment_required, "the account has no money");
  auto session = open(spec, now);
  if (session) implicit_[name] = session->id;
  return session;
}

Result<ledger::Session> SessionBook::adopt(const AccountId& account, std::string_view label,
                                           std::string_view model, Credits need, WallTime now) {
  const auto latest = ledger_.list_sessions(account, kLatest, std::nullopt);
  if (!latest) return latest.error();
  for (const ledger::Session& session : *latest) {
    const bool same = session.spec.implicit && session.spec.label == label && session.spec.model == model;
    const bool usable = session.state == ledger::SessionState::open && session.spec.expiry > now + kMargin;
    if (!same || !usable || outgrown_.contains(session.id) || session.hold - reserved(session.id) < need)
      continue;
    if (auto held = hold(session.id, now); !held) return held.error();
    return session;
  }
  return fail(ErrorKind::not_found, "no router has left a session of the key");
}

Result<Credits> SessionBook::close(const AccountId& account, const SessionId& session, WallTime now) {
  auto found = find(account, session);
  if (!found) return std::move(found).error();
  if (const std::size_t running = tasks(session); running > 0)
    return fail(ErrorKind::conflict, "the session has " + std::to_string(running) + " requests in progress");
  if (auto status = hold(session, now); !status) return status.error();
  return end(session, now);
}

Status SessionBook::renew(const SessionId& session, WallTime now) {
  if (options_.session_lease == options_.session_lease.zero()) return ok();
  Lease& lease = leases_[session];
  if (lease.until >= now + options_.session_lease / 2) return ok();
  const WallTime until = now + options_.session_lease;
  const auto epoch = ledger_.take_session(session, router_, until, now);
  if (epoch) {
    lease = {*epoch, until};
    return ok();
  }
  // What is in progress keeps the old epoch, with which nothing is booked once another router has a later
  // one.
  if (lease.until <= now && tasks(session) == 0) leases_.erase(session);
  return epoch.error();
}

Status SessionBook::hold(const SessionId& session, WallTime now) {
  const Status held = renew(session, now);
  if (held || held.error().kind != ErrorKind::conflict) return held;
  const auto found = ledger_.session(session);
  if (found && found->state != ledger::SessionState::open)
    return ok();  // nobody's; the callers say it better
  return fail(ErrorKind::unavailable,
              "another router has requests in progress in the session; ask it, or try again in " +
                  std::to_string(options_.session_lease.count() / 1000) + " s");
}

std::optional<std::uint64_t> SessionBook::epoch(const SessionId& session) const {
  const auto found = leases_.find(session);
  if (found != leases_.end()) return found->second.epoch;
  if (options_.session_lease == options_.session_lease.zero()) return std::nullopt;
  return 0;  // nobody's: no lease begins with it
}

Result<Credits> SessionBook::end(const SessionId& session, WallTime now) {
  auto released = ledger_.close_session(session, now, epoch(session));
  if (released) leases_.erase(session);
  return released;
}

Status SessionBook::reserve(const SessionId& session, Credits amount, WallTime now) {
  const auto found = ledger_.session(session);
  if (!found) return found.error();
  if (found->state != ledger::SessionState::open || found->spec.expiry <= now)
    return fail(ErrorKind::conflict, "the session has ended");
  if (const Credits left = found->hold - reserved(session); left < amount)
    return fail(ErrorKind::payment_required, "this request may cost " + to_string(amount) +
                                                 " credits, the session has " + to_string(left) + " left");
  if (auto status = hold(session, now); !status) return status;
  InFlight& entry = in_flight_[session];
  entry.amount += amount;
  ++entry.tasks;
  return ok();
}

void SessionBook::release(const SessionId& session, Credits amount, WallTime now) {
  const auto found = in_flight_.find(session);
  if (found == in_flight_.end()) return;
  found->second.amount -= amount;
  if (--found->second.tasks > 0) return;
  in_flight_.erase(found);
  if (outgrown_.erase(session) == 0) return;
  if (const auto closed = end(session, now); !closed)
    log::warning("session_not_closed", {{"session", session.value}, {"error", closed.error().message}});
}

void SessionBook::reduce(const SessionId& session, Credits amount) {
  if (const auto found = in_flight_.find(session); found != in_flight_.end()) found->second.amount -= amount;
}

Credits SessionBook::reserved(const SessionId& session) const {
  const auto found = in_flight_.find(session);
  return found == in_flight_.end() ? Credits{} : found->second.amount;
}

std::size_t SessionBook::tasks(const SessionId& session) const {
  const auto found = in_flight_.find(session);
  return found == in_flight_.end() ? 0 : found->second.tasks;
}

Status SessionBook::expire(WallTime now) {
  std::vector<SessionId> busy;
  for (const auto& [session, entry] : in_flight_) {
    busy.push_back(session);
    const Status held = renew(session, now);
    if (held) continue;
    // The ledger cannot be reached: that took its time already, and would for each of them.
    if (held.error().kind == ErrorKind::unavailable) return held;
    log::warning("session_not_held", {{"session", session.value}, {"error", held.error().message}});
  }
  std::erase_if(leases_, [&](const auto& one) { return one.second.until <= now && tasks(one.first) == 0; });
  const auto released = ledger_.expire_sessions(now, busy);
  if (!released) return released.error();
  for (const ledger::Released& one : *released)
    log::info("session_expired", {{"session", one.session.value}, {"released_micro", one.amount.micro}});
  return ok();
}

}  // namespace cortensor::router
