// Nodes: who may join, how they behaved, what they earned.
#include <algorithm>

#include "crypto/sha256.h"
#include "ledger/sql_ledger.h"

namespace cortensor::ledger {

std::vector<Role> SqlLedger::roles_of(const NodeId& id) {
  std::vector<Role> roles;
  Query row = db_.query("SELECT role FROM admissions WHERE node = $1 ORDER BY role", id);
  while (row.next()) roles.push_back(row.one_of(0, Role::validator));
  return roles;
}

Result<Node> SqlLedger::node(const NodeId& id) {
  auto found = db_.read([&]() -> Result<Node> {
    Query row = db_.query("SELECT * FROM node_rows WHERE id = $1", id);
    if (!row.next()) return no_such("node", id.value);
    Node node{id,          roles_of(id), row.time(1), row.time(2),   row.number(3),
              row.flag(4), row.text(5),  {},          row.credits(7)};
    if (!row.is_null(6)) node.evidence = row.digest(6);
    return node;
  });
  return found;
}

Result<std::vector<Node>> SqlLedger::list_nodes() {
  auto ids = db_.read([&]() -> Result<std::vector<NodeId>> {
    std::vector<NodeId> all;
    for (Query row = db_.query("SELECT id FROM nodes ORDER BY id"); row.next();)
      all.emplace_back(row.text(0));
    return all;
  });
  if (!ids) return ids.error();
  std::vector<Node> nodes;
  for (const NodeId& id : *ids) {  // nodes are never deleted, so each is still there
    auto one = node(id);
    if (!one) return one.error();
    nodes.push_back(*std::move(one));
  }
  return nodes;
}

void SqlLedger::see(const NodeId& id, Role role, WallTime now) {
  db_.run(
      "INSERT INTO nodes (id, first_seen, last_seen) VALUES ($1, $2, $2) ON CONFLICT (id) DO UPDATE SET"
      " last_seen = CASE WHEN nodes.last_seen < $2 THEN $2 ELSE nodes.last_seen END",
      id, now);
  db_.run("INSERT INTO admissions (node, role) VALUES ($1, $2) ON CONFLICT DO NOTHING", id, role);
}

Status SqlLedger::upsert_node(const NodeId& id, Role role, WallTime now) {
  if (auto status = check_node(id); !status) return status;
  return db_.change([&]() -> Status {
    see(id, role, now);
    return ok();
  });
}

Result<std::uint32_t> SqlLedger::add_strike(const NodeId& id, std::string_view reason,
                                            const std::optional<Digest>& evidence, WallTime) {
  if (auto status = check_name("reason", reason); !status) return status.error();
  return db_.change([&]() -> Result<std::uint32_t> {
    Query row = db_.query(
        "UPDATE nodes SET strikes = strikes + 1, reason = $1, evidence = $2 WHERE id = $3 RETURNING strikes",
        reason, evidence, id);
    if (!row.next()) return no_such("node", id.value);
    return row.number(0);
  });
}

Status SqlLedger::quarantine(const NodeId& id, std::string_view reason, const std::optional<Digest>& evidence,
                             WallTime) {
  if (auto status = check_name("reason", reason); !status) return status;
  return db_.change([&]() -> Status {
    if (db_.run("UPDATE nodes SET quarantined = 1, reason = $1, evidence = $2 WHERE id = $3", reason,
                evidence, id) == 0)
      return no_such("node", id.value);
    return ok();
  });
}

Status SqlLedger::pardon(const NodeId& id, WallTime) {
  return db_.change([&]() -> Status {
    if (db_.run("UPDATE nodes SET strikes = 0, quarantined = 0, reason = '', evidence = NULL WHERE id = $1",
                id) == 0)
      return no_such("node", id.value);
    return ok();
  });
}

Result<bool> SqlLedger::quarantined(const NodeId& id) {
  return db_.read([&]() -> Result<bool> {
    return db_.query("SELECT 1 FROM nodes WHERE id = $1 AND quarantined = 1", id).next();
  });
}

Result<Credits> SqlLedger::pay_out(const NodeId& id, Credits amount, std::string_view reference,
                                   WallTime now) {
  if (auto status = check_amount("payout", amount); !status) return status.error();
  if (auto status = check_name("reference", reference); !status) return status.error();
  return db_.change([&]() -> Result<Credits> {
    if (used(EntryKind::payout, reference)) return reference_used(reference);
    const Credits has = amount_in(book_of(id));
    if (has < amount) return money_short("the node", has, amount);
    const Leg legs[] = {{book_of(id), -amount}, {external_book(), amount}};
    post(EntryKind::payout, reference, legs, now);
    return has - amount;
  });
}

// ---- admission ----

Result<std::string> SqlLedger::create_join_token(Role role, WallTime expiry, std::uint32_t uses,
                                                 WallTime now) {
  if (auto status = check_join_token(expiry, uses, now); !status) return status.error();
  return db_.change([&]() -> Result<std::string> {
    std::string secret = token_("cjt_", kSecretCharacters);
    db_.run("INSERT INTO join_tokens (secret_hash, role, expiry, uses_left) VALUES ($1, $2, $3, $4)",
            crypto::sha256(bytes_of(secret)), role, expiry, uses);
    return secret;
  });
}

Status SqlLedger::admit_node(std::string_view token, const NodeId& id, Role role, WallTime now) {
  if (auto status = check_node(id); !status) return status;
  const Digest hash = crypto::sha256(bytes_of(token));
  return db_.change([&]() -> Status {
    if (Query known = db_.query("SELECT reason FROM nodes WHERE id = $1 AND quarantined = 1", id);
        known.next())
      return node_quarantined(id, known.text(0));
    const std::vector<Role> roles = roles_of(id);
    if (std::find(roles.begin(), roles.end(), role) == roles.end()) {
      Query ticket =
          db_.query("SELECT role, expiry, uses_left FROM join_tokens WHERE secret_hash = $1", hash);
      if (!ticket.next()) return unknown_secret("join token");
      if (ticket.one_of(0, Role::validator) != role) return token_refused("is for another role");
      if (ticket.time(1) <= now) return token_refused("has expired");
      if (ticket.integer(2) == 0) return token_refused("is used up");
      db_.run("UPDATE join_tokens SET uses_left = uses_left - 1 WHERE secret_hash = $1", hash);
    }
    see(id, role, now);
    return ok();
  });
}

}  // namespace cortensor::ledger
