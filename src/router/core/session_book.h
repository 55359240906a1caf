// Sessions and what of their holds is spoken for. The ledger keeps the money; reservations for tasks in
// flight live here, so that no two tasks count on the same micro-credit. Where several routers share a
// ledger, a session with reservations is one router's, by a lease that it renews; after its death another one
// has it when the lease is over.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/runtime/executor.h"
#include "base/units.h"
#include "ledger/ledger.h"
#include "router/core/options.h"

namespace cortensor::router {

class SessionBook {
 public:
  // Takes over the implicit sessions that are still open. Ledger and options outlive the book.
  SessionBook(ledger::Ledger& ledger, const CoreOptions& options, NodeId router);

  // Checks the specification and opens the session. The model is one the router serves.
  Result<ledger::Session> open(ledger::SessionSpec spec, WallTime now);
  // not_found: no such session of this account.
  Result<ledger::Session> find(const AccountId& account, const SessionId& session);
  // The key's own session for a model with at least `need` unreserved; opened, or opened anew, as necessary.
  Result<ledger::Session> implicit(const AccountId& account, std::string_view key_id, std::string_view model,
                                   Credits need, WallTime now);
  // conflict: work is in flight in it. Returns what was released.
  Result<Credits> close(const AccountId& account, const SessionId& session, WallTime now);

  // payment_required: the hold less what is reserved does not cover the amount; conflict: the session has
  // ended; unavailable: another router has it.
  Status reserve(const SessionId& session, Credits amount, WallTime now);
  // Gives a reservation back, settled or not.
  void release(const SessionId& session, Credits amount, WallTime now);
  // Gives a part of a task's reservation back while the task goes on.
  void reduce(const SessionId& session, Credits amount);
  Credits reserved(const SessionId& session) const;
  std::size_t tasks(const SessionId& session) const;
  // Under which this router has the session; none when it shares its ledger with no other.
  std::optional<std::uint64_t> epoch(const SessionId& session) const;

  // Ends the sessions whose time is over and that have nothing in flight; keeps those that have.
  Status expire(WallTime now);

 private:
  struct InFlight {
    Credits amount;
    std::size_t tasks = 0;
  };

  struct Lease {
    std::uint64_t epoch = 0;
    WallTime until;
  };
  // Takes the session's lease where it is shared and half over. conflict: it has ended, or is another
  // router's.
  Status renew(const SessionId& session, WallTime now);
  // The same before money is spent from it; unavailable: another router has it. One that has ended is
  // nobody's.
  Status hold(const SessionId& session, WallTime now);
  // The session that another router opened for the same key. not_found; unavailable: it still has it.
  Result<ledger::Session> adopt(const AccountId& account, std::string_view label, std::string_view model,
                                Credits need, WallTime now);
  Result<Credits> end(const SessionId& session, WallTime now);

  ledger::Ledger& ledger_;
  const CoreOptions& options_;
  const NodeId router_;
  std::map<SessionId, Lease> leases_;
  std::map<SessionId, InFlight> in_flight_;
  std::map<std::string, SessionId> implicit_;  // "account/key/model" -> the session in use
  std::map<SessionId, AccountId> outgrown_;  // implicit ones that a larger one has replaced; closed when idle
};

}  // namespace cortensor::router
