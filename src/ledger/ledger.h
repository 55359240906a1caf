// The money and the accounts of a router: a double-entry book, prices, sessions, settlements, known nodes.
// Spec: docs/spec/ledger.md.
//
// Synchronous, and each object is called from one thread (the router's ledger thread). Every change is one
// durable transaction: it is all there when the call returns success, and not at all when it returns an
// error. Several processes may have the same store open. Time is the caller's: `now` is recorded, never asked
// for.
//
// Errors of every call: invalid_input for texts and amounts outside the limits of types.h; unavailable when
// the store cannot be written or read (disk full, locked for too long); corrupt when it contradicts itself.
// After `unavailable` from a change, repeating the change is safe: what must not happen twice is refused as a
// conflict.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "ledger/types.h"

namespace cortensor::ledger {

class Ledger {
 public:
  virtual ~Ledger() = default;

  // Accounts. conflict: the name is taken. not_found: no such account, in every call that names one.
  virtual Result<AccountId> create_account(std::string_view name, WallTime now) = 0;
  // The account with its opening deposit (none when zero) and its first key, all or nothing.
  virtual Result<NewApiKey> open_account(std::string_view name, Credits opening, std::string_view key_label,
                                         WallTime now) = 0;
  virtual Result<Account> account(const AccountId& account) = 0;
  virtual Result<Account> find_account(std::string_view name) = 0;
  virtual Result<std::vector<Account>> list_accounts() = 0;  // by name
  virtual Result<Credits> balance(const AccountId& account) = 0;
  // external -> account; returns the new balance. conflict: the reference was used by an earlier deposit.
  virtual Result<Credits> deposit(const AccountId& account, Credits amount, std::string_view reference,
                                  WallTime now) = 0;

  // API keys. Only the SHA-256 of a secret is kept; finding is a look-up by that hash.
  virtual Result<NewApiKey> create_api_key(const AccountId& account, std::string_view label,
                                           WallTime now) = 0;
  // unauthenticated: unknown or revoked (the message does not say which).
  virtual Result<AccountId> find_by_api_key(std::string_view secret) = 0;
  virtual Result<std::vector<ApiKey>> list_api_keys(const AccountId& account) = 0;
  virtual Status revoke_api_key(std::string_view key_id) = 0;  // idempotent; not_found

  // Prices. price(): not_found for a model that has none.
  virtual Status set_price(std::string_view model, Price price) = 0;
  virtual Result<Price> price(std::string_view model) = 0;

  // Sessions. open_session moves the budget account -> hold. not_found: account, or a model without a price;
  // payment_required: the balance is short; conflict: the model costs more than the limits; invalid_input:
  // the rest.
  virtual Result<SessionId> open_session(const SessionSpec& spec, WallTime now) = 0;
  virtual Result<Session> session(const SessionId& session) = 0;  // not_found
  // The newest first, at most `limit`; after `after`, when it is given (not_found: none of this account's).
  virtual Result<std::vector<Session>> list_sessions(const AccountId& account, std::size_t limit,
                                                     const std::optional<SessionId>& after) = 0;
  virtual Result<std::vector<Session>> list_open_sessions() = 0;  // in order of opening
  virtual Result<Credits> hold_balance(const SessionId& session) = 0;
  // hold -> account for the rest; returns it. A session that has ended already: success, zero. conflict:
  // `epoch` is given and is not the session's.
  virtual Result<Credits> close_session(const SessionId& session, WallTime now,
                                        std::optional<std::uint64_t> epoch = {}) = 0;
  // Ends, one transaction each, the open sessions with expiry <= now. Those in `busy` (with work in flight)
  // are left, and those that a router has until after `now`.
  virtual Result<std::vector<Released>> expire_sessions(WallTime now, std::span<const SessionId> busy) = 0;

  // Ownership among several routers, so that what one of them keeps of a session in memory is all there is.
  // The router has it until `until` and takes it again before that; taking it until `now` gives it back.
  // Returns the epoch, which rises with each new owner: who still acts under an earlier one is refused.
  // conflict: another router's, or the session is not open; not_found.
  virtual Result<std::uint64_t> take_session(const SessionId& session, const NodeId& router, WallTime until,
                                             WallTime now) = 0;

  // hold -> parties, once per task and choice. conflict: settled already, the session is not open, or has
  // another epoch; payment_required: the payments exceed the hold; not_found: the session. Records unpaid
  // tasks as well.
  Status settle_task(const Settlement& settlement, WallTime now) {
    return settle_tasks({&settlement, 1}, now).front();
  }
  // The same for several, in order and each on its own: one durable transaction books those that succeed. The
  // statuses are parallel; when the store fails, all of them say so and nothing is booked.
  virtual std::vector<Status> settle_tasks(std::span<const Settlement> settlements, WallTime now) = 0;
  virtual Result<SettledTask> settled_task(const TaskId& task, std::uint32_t choice) = 0;  // not_found
  virtual Result<std::vector<SettledTask>> list_tasks(
      const SessionId& session) = 0;  // in order of settlement
  // Takes every payment of a settlement back: into the hold while the session is open, else into the account.
  // conflict: reversed already, nothing was paid, or a party no longer has the money.
  virtual Status reverse_task(const TaskId& task, std::uint32_t choice, std::string_view reason,
                              WallTime now) = 0;

  // Nodes: earnings, admission, conduct. not_found: a node never seen.
  virtual Result<Node> node(const NodeId& node) = 0;
  virtual Result<std::vector<Node>> list_nodes() = 0;  // by id
  // Admits without a token (on the operator's word) and notes the time.
  virtual Status upsert_node(const NodeId& node, Role role, WallTime now) = 0;
  virtual Result<std::uint32_t> add_strike(const NodeId& node, std::string_view reason,
                                           const std::optional<Digest>& evidence,
                                           WallTime now) = 0;  // how many now
  virtual Status quarantine(const NodeId& node, std::string_view reason,
                            const std::optional<Digest>& evidence, WallTime now) = 0;
  virtual Status pardon(const NodeId& node, WallTime now) = 0;  // no strikes, no quarantine
  virtual Result<bool> quarantined(const NodeId& node) = 0;     // false for a node never seen
  // node -> external; returns what is left. payment_required: more than it has. conflict: reference used.
  virtual Result<Credits> pay_out(const NodeId& node, Credits amount, std::string_view reference,
                                  WallTime now) = 0;

  // Admission. A join token ("cjt_" and 43 characters) admits `uses` nodes to one role until it expires; its
  // secret is returned once and kept as a hash. A node admitted to a role needs no token for it again (it may
  // be empty).
  virtual Result<std::string> create_join_token(Role role, WallTime expiry, std::uint32_t uses,
                                                WallTime now) = 0;
  // unauthenticated: unknown token; forbidden: for another role, expired, used up, or the node is
  // quarantined.
  virtual Status admit_node(std::string_view token, const NodeId& node, Role role, WallTime now) = 0;

  // The book. Newest first, at most `limit`.
  virtual Result<std::vector<Posting>> postings(const Book& book, std::size_t limit) = 0;
  virtual Result<std::vector<Posting>> postings(
      const TaskId& task) = 0;                            // all choices, reversals too; in order
  virtual Result<Credits> balance(const Book& book) = 0;  // zero for a book without postings
  // Adds up everything anew: entries sum to zero, balances equal their postings and are not negative, ended
  // sessions hold nothing, every task's postings are its payments. An error only when the store cannot be
  // read.
  virtual Result<AuditReport> audit() = 0;
};

}  // namespace cortensor::ledger
