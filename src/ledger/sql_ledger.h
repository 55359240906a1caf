// The ledger over a database of either kind, spread over sql_ledger.cc (accounts, keys, prices),
// sql_sessions.cc (sessions, settlement), sql_nodes.cc and sql_book.cc. Private to the folder.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/database.h"
#include "ledger/ledger.h"
#include "ledger/rules.h"

namespace cortensor::ledger {

class SqlLedger final : public Ledger {
 public:
  SqlLedger(std::unique_ptr<Database> database, TokenSource token)
      : database_(std::move(database)), db_(*database_), token_(std::move(token)) {}

  Result<AccountId> create_account(std::string_view name, WallTime now) override;
  Result<NewApiKey> open_account(std::string_view name, Credits opening, std::string_view key_label,
                                 WallTime now) override;
  Result<Account> account(const AccountId& account) override;
  Result<Account> find_account(std::string_view name) override;
  Result<std::vector<Account>> list_accounts() override;
  Result<Credits> balance(const AccountId& account) override;
  Result<Credits> deposit(const AccountId& account, Credits amount, std::string_view reference,
                          WallTime now) override;

  Result<NewApiKey> create_api_key(const AccountId& account, std::string_view label, WallTime now) override;
  Result<AccountId> find_by_api_key(std::string_view secret) override;
  Result<std::vector<ApiKey>> list_api_keys(const AccountId& account) override;
  Status revoke_api_key(std::string_view key_id) override;

  Status set_price(std::string_view model, Price price) override;
  Result<Price> price(std::string_view model) override;

  Result<SessionId> open_session(const SessionSpec& spec, WallTime now) override;
  Result<Session> session(const SessionId& session) override;
  Result<std::vector<Session>> list_sessions(const AccountId& account, std::size_t limit,
                                             const std::optional<SessionId>& after) override;
  Result<std::vector<Session>> list_open_sessions() override;
  Result<Credits> hold_balance(const SessionId& session) override;
  Result<Credits> close_session(const SessionId& session, WallTime now,
                                std::optional<std::uint64_t> epoch) override;
  Result<std::vector<Released>> expire_sessions(WallTime now, std::span<const SessionId> busy) override;

  Result<std::uint64_t> take_session(const SessionId& session, const NodeId& router, WallTime until,
                                     WallTime now) override;

  std::vector<Status> settle_tasks(std::span<const Settlement> settlements, WallTime now) override;
  Result<SettledTask> settled_task(const TaskId& task, std::uint32_t choice) override;
  Result<std::vector<SettledTask>> list_tasks(const SessionId& session) override;
  Status reverse_task(const TaskId& task, std::uint32_t choice, std::string_view reason,
                      WallTime now) override;

  Result<Node> node(const NodeId& node) override;
  Result<std::vector<Node>> list_nodes() override;
  Status upsert_node(const NodeId& node, Role role, WallTime now) override;
  Result<std::uint32_t> add_strike(const NodeId& node, std::string_view reason,
                                   const std::optional<Digest>& evidence, WallTime now) override;
  Status quarantine(const NodeId& node, std::string_view reason, const std::optional<Digest>& evidence,
                    WallTime now) override;
  Status pardon(const NodeId& node, WallTime now) override;
  Result<bool> quarantined(const NodeId& node) override;
  Result<Credits> pay_out(const NodeId& node, Credits amount, std::string_view reference,
                          WallTime now) override;

  Result<std::string> create_join_token(Role role, WallTime expiry, std::uint32_t uses,
                                        WallTime now) override;
  Status admit_node(std::string_view token, const NodeId& node, Role role, WallTime now) override;

  Result<std::vector<Posting>> postings(const Book& book, std::size_t limit) override;
  Result<std::vector<Posting>> postings(const TaskId& task) override;
  Result<Credits> balance(const Book& book) override;
  Result<AuditReport> audit() override;

 private:
  struct Leg {
    Book book;
    Credits amount;
    std::optional<Payment::Kind> party = std::nullopt;
  };

  // What follows runs inside a transaction.
  Result<AccountId> insert_account(std::string_view name, WallTime now);
  Status book_deposit(const AccountId& account, Credits amount, std::string_view reference, WallTime now);
  NewApiKey insert_api_key(const AccountId& account, std::string_view label, WallTime now);
  Status book_settlement(const Settlement& settlement, WallTime now);
  bool exists(const AccountId& account);
  Credits amount_in(const Book& book);
  bool used(EntryKind kind, std::string_view reference);
  // Adds one entry. Zero legs must have been left out; the sum must be zero.
  std::int64_t post(EntryKind kind, std::string_view reference, std::span<const Leg> legs, WallTime now);
  std::optional<Session> session_row(const SessionId& session);
  struct Lease {
    NodeId router;
    std::uint64_t epoch = 0;  // 0: nobody's yet
    WallTime until;
  };
  Lease lease_of(const SessionId& session);
  Credits end(const Session& session, SessionState state, WallTime now);
  std::vector<SettledTask> tasks_of(Query rows);
  void see(const NodeId& node, Role role, WallTime now);
  std::vector<Role> roles_of(const NodeId& node);
  std::string first_violation();

  std::unique_ptr<Database> database_;
  Database& db_;
  TokenSource token_;
};

}  // namespace cortensor::ledger
