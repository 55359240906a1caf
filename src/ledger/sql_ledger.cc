#include "ledger/sql_ledger.h"

#include "base/check.h"
#include "base/hex.h"
#include "crypto/sha256.h"

namespace cortensor::ledger {
namespace {

Account account_of(const Query& row) {
  return {AccountId(row.text(0)), row.text(1), row.credits(2), row.time(3)};
}

}  // namespace

// ---- shared by all parts ----

bool SqlLedger::exists(const AccountId& account) {
  return db_.query("SELECT 1 FROM accounts WHERE id = $1", account).next();
}

Credits SqlLedger::amount_in(const Book& book) {
  Query row = db_.query("SELECT amount FROM balances WHERE book = $1", book);
  return row.next() ? row.credits(0) : Credits{};
}

bool SqlLedger::used(EntryKind kind, std::string_view reference) {
  return db_.query("SELECT 1 FROM entries WHERE reference = $1 AND kind = $2", reference, kind).next();
}

std::int64_t SqlLedger::post(EntryKind kind, std::string_view reference, std::span<const Leg> legs,
                             WallTime now) {
  Credits sum;
  for (const Leg& leg : legs) sum += leg.amount;
  CORTENSOR_CHECK(sum.micro == 0);
  std::int64_t entry = 0;
  if (Query made = db_.query("INSERT INTO entries (kind, reference, at) VALUES ($1, $2, $3) RETURNING id",
                             kind, reference, now);
      made.next())
    entry = made.integer(0);
  for (const Leg& leg : legs) {
    db_.run("INSERT INTO postings (entry, book, amount, party) VALUES ($1, $2, $3, $4)", entry, leg.book,
            leg.amount, leg.party);
    // A new balance and an old one go separate ways: an upsert would judge the change by itself against the
    // CHECK.
    if (db_.run("UPDATE balances SET amount = amount + $1 WHERE book = $2", leg.amount, leg.book) == 0)
      db_.run("INSERT INTO balances (book, amount) VALUES ($1, $2)", leg.book, leg.amount);
  }
  return entry;
}

// ---- accounts ----

Result<AccountId> SqlLedger::create_account(std::string_view name, WallTime now) {
  if (auto status = check_name("account name", name); !status) return status.error();
  return db_.change([&] { return insert_account(name, now); });
}

Result<AccountId> SqlLedger::insert_account(std::string_view name, WallTime now) {
  if (db_.query("SELECT 1 FROM accounts WHERE name = $1", name).next()) return name_taken(name);
  AccountId id(token_("acct_", kIdCharacters));
  db_.run("INSERT INTO accounts (id, name, created) VALUES ($1, $2, $3)", id, name, now);
  return id;
}

Result<NewApiKey> SqlLedger::open_account(std::string_view name, Credits opening, std::string_view key_label,
                                          WallTime now) {
  if (auto status = check_name("account name", name); !status) return status.error();
  if (auto status = check_text("label", key_label); !status) return status.error();
  if (opening.micro != 0)
    if (auto status = check_amount("deposit", opening); !status) return status.error();
  return db_.change([&]() -> Result<NewApiKey> {
    const auto account = insert_account(name, now);
    if (!account) return account.error();
    if (opening.micro != 0)
      if (Status paid = book_deposit(*account, opening, "opening " + account->value, now); !paid)
        return paid.error();
    return insert_api_key(*account, key_label, now);
  });
}

Result<Account> SqlLedger::account(const AccountId& id) {
  return db_.read([&]() -> Result<Account> {
    Query row = db_.query("SELECT * FROM account_rows WHERE id = $1", id);
    if (!row.next()) return no_such("account", id.value);
    return account_of(row);
  });
}

Result<Account> SqlLedger::find_account(std::string_view name) {
  return db_.read([&]() -> Result<Account> {
    Query row = db_.query("SELECT * FROM account_rows WHERE name = $1", name);
    if (!row.next()) return no_such("account", name);
    return account_of(row);
  });
}

Result<std::vector<Account>> SqlLedger::list_accounts() {
  return db_.read([&]() -> Result<std::vector<Account>> {
    std::vector<Account> all;
    for (Query row = db_.query("SELECT * FROM account_rows ORDER BY name"); row.next();)
      all.push_back(account_of(row));
    return all;
  });
}

Result<Credits> SqlLedger::balance(const AccountId& id) {
  return db_.read([&]() -> Result<Credits> {
    if (!exists(id)) return no_such("account", id.value);
    return amount_in(book_of(id));
  });
}

Result<Credits> SqlLedger::deposit(const AccountId& id, Credits amount, std::string_view reference,
                                   WallTime now) {
  if (auto status = check_amount("deposit", amount); !status) return status.error();
  if (auto status = check_name("reference", reference); !status) return status.error();
  return db_.change([&]() -> Result<Credits> {
    if (Status booked = book_deposit(id, amount, reference, now); !booked) return booked.error();
    return amount_in(book_of(id));
  });
}

Status SqlLedger::book_deposit(const AccountId& id, Credits amount, std::string_view reference,
                               WallTime now) {
  if (!exists(id)) return no_such("account", id.value);
  if (used(EntryKind::deposit, reference)) return reference_used(reference);
  if (amount_in(external_book()) - amount < -kMaxSupply) return supply_exceeded();
  const Leg legs[] = {{external_book(), -amount}, {book_of(id), amount}};
  post(EntryKind::deposit, reference, legs, now);
  return ok();
}

// ---- API keys ----

Result<NewApiKey> SqlLedger::create_api_key(const AccountId& account, std::string_view label, WallTime now) {
  if (auto status = check_text("label", label); !status) return status.error();
  return db_.change([&]() -> Result<NewApiKey> {
    if (!exists(account)) return no_such("account", account.value);
    return insert_api_key(account, label, now);
  });
}

NewApiKey SqlLedger::insert_api_key(const AccountId& account, std::string_view label, WallTime now) {
  NewApiKey made{token_("ctk_", kSecretCharacters), {}};
  const Digest hash = crypto::sha256(bytes_of(made.secret));
  made.key = {to_hex(hash).substr(0, 16), account, std::string(label), false, now};
  db_.run(
      "INSERT INTO api_keys (id, secret_hash, account, label, revoked, created) VALUES ($1, $2, $3, $4, 0, "
      "$5)",
      made.key.id, hash, account, label, now);
  return made;
}

Result<AccountId> SqlLedger::find_by_api_key(std::string_view secret) {
  const Digest hash = crypto::sha256(bytes_of(secret));
  return db_.read([&]() -> Result<AccountId> {
    Query row = db_.query("SELECT account FROM api_keys WHERE secret_hash = $1 AND revoked = 0", hash);
    if (!row.next()) return unknown_secret("API key");
    return AccountId(row.text(0));
  });
}

Result<std::vector<ApiKey>> SqlLedger::list_api_keys(const AccountId& account) {
  return db_.read([&]() -> Result<std::vector<ApiKey>> {
    if (!exists(account)) return no_such("account", account.value);
    std::vector<ApiKey> all;
    Query row = db_.query(
        "SELECT id, label, revoked, created FROM api_keys WHERE account = $1 ORDER BY number", account);
    while (row.next()) all.push_back({row.text(0), account, row.text(1), row.flag(2), row.time(3)});
    return all;
  });
}

Status SqlLedger::revoke_api_key(std::string_view key_id) {
  return db_.change([&]() -> Status {
    if (db_.run("UPDATE api_keys SET revoked = 1 WHERE id = $1", key_id) == 0)
      return no_such("API key", key_id);
    return ok();
  });
}

// ---- prices ----

Status SqlLedger::set_price(std::string_view model, Price price) {
  if (auto status = check_name("model", model); !status) return status;
  if (auto status = check_price(price); !status) return status;
  return db_.change([&]() -> Status {
    db_.run(
        "INSERT INTO prices (model, prompt, completion) VALUES ($1, $2, $3)"
        " ON CONFLICT (model) DO UPDATE SET prompt = excluded.prompt, completion = excluded.completion",
        model, price.prompt, price.completion);
    return ok();
  });
}

Result<Price> SqlLedger::price(std::string_view model) {
  return db_.read([&]() -> Result<Price> {
    Query row = db_.query("SELECT prompt, completion FROM prices WHERE model = $1", model);
    if (!row.next()) return no_such("model", model);
    return Price{row.credits(0), row.credits(1)};
  });
}

}  // namespace cortensor::ledger
