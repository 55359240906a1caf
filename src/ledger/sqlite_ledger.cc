#include "ledger/sqlite_ledger.h"

#include "base/check.h"
#include "base/hex.h"
#include "crypto/random.h"
#include "crypto/sha256.h"
#include "ledger/sqlite_schema.h"
#include "ledger/sqlite_store.h"

namespace cortensor::ledger {
namespace {

Account account_of(const Query& row) {
  return {AccountId(row.text(0)), row.text(1), row.credits(2), row.time(3)};
}

}  // namespace

Result<std::unique_ptr<Ledger>> open_sqlite_ledger(const std::filesystem::path& path, SqliteOptions options) {
  auto database = Database::open(path, options.busy_timeout, options.vfs);
  if (!database) return database.error();
  if (!options.token) options.token = crypto::random_token;
  (*database)->watch(std::move(options.health));
  auto ledger = std::make_unique<SqliteLedger>(std::move(*database), std::move(options.token));
  if (auto status = ledger->prepare(); !status) return status.error();
  return ledger;
}

Result<std::size_t> SqliteLedger::schema_version() {
  Query application = db_.query("PRAGMA application_id");
  const std::int64_t id = application.next() ? application.integer(0) : 0;
  Query tables = db_.query("SELECT count(*) FROM sqlite_schema");
  if (tables.next() && tables.integer(0) == 0) return 0;
  if (id != kApplicationId) return fail(ErrorKind::corrupt, "the file is not a ledger");
  Query applied = db_.query("SELECT coalesce(max(version), 0) FROM migrations");
  const auto version = static_cast<std::size_t>(applied.next() ? applied.integer(0) : 0);
  if (version > kMigrations.size())
    return fail(ErrorKind::unsupported, "the ledger has schema version " + std::to_string(version) +
                                            ", written by a later program; this one knows " +
                                            std::to_string(kMigrations.size()));
  return version;
}

Status SqliteLedger::prepare() {
  const auto found = db_.read([&]() -> Result<std::size_t> {
    if (Query check = db_.query("PRAGMA quick_check(1)"); check.next() && check.text(0) != "ok")
      return fail(ErrorKind::corrupt, "the ledger is damaged: " + check.text(0));
    return schema_version();
  });
  if (!found) return found.error();
  if (auto status = db_.enter_write_ahead_mode(); !status) return status;
  if (*found == kMigrations.size()) return ok();
  return db_.change([&]() -> Status {
    const auto version = schema_version();  // again, under the lock: another process may have come first
    if (!version) return version.error();
    static_assert(kApplicationId == 0x43544c47);
    if (*version == 0)
      db_.script(
          "PRAGMA application_id = 0x43544c47; CREATE TABLE migrations (version INTEGER PRIMARY KEY) "
          "STRICT;");
    for (std::size_t next = *version; next < kMigrations.size(); ++next) {
      db_.script(kMigrations[next]);
      db_.run("INSERT INTO migrations (version) VALUES (?)", static_cast<std::uint64_t>(next + 1));
    }
    return ok();
  });
}

// ---- shared by all parts ----

bool SqliteLedger::exists(const AccountId& account) {
  return db_.query("SELECT 1 FROM accounts WHERE id = ?", account).next();
}

Credits SqliteLedger::amount_in(const Book& book) {
  Query row = db_.query("SELECT amount FROM balances WHERE book = ?", book);
  return row.next() ? row.credits(0) : Credits{};
}

bool SqliteLedger::used(EntryKind kind, std::string_view reference) {
  return db_.query("SELECT 1 FROM entries WHERE reference = ? AND kind = ?", reference, kind).next();
}

std::int64_t SqliteLedger::post(EntryKind kind, std::string_view reference, std::span<const Leg> legs,
                                WallTime now) {
  Credits sum;
  for (const Leg& leg : legs) sum += leg.amount;
  CORTENSOR_CHECK(sum.micro == 0);
  db_.run("INSERT INTO entries (kind, reference, at) VALUES (?, ?, ?)", kind, reference, now);
  Query made = db_.query("SELECT last_insert_rowid()");
  const std::int64_t entry = made.next() ? made.integer(0) : 0;
  for (const Leg& leg : legs) {
    db_.run("INSERT INTO postings (entry, book, amount, party) VALUES (?, ?, ?, ?)", entry, leg.book,
            leg.amount, leg.party);
    // A new balance and an old one go separate ways: an upsert would judge the change by itself against the
    // CHECK.
    db_.run("UPDATE balances SET amount = amount + ? WHERE book = ?", leg.amount, leg.book);
    if (db_.changes() == 0)
      db_.run("INSERT INTO balances (book, amount) VALUES (?, ?)", leg.book, leg.amount);
  }
  return entry;
}

// ---- accounts ----

Result<AccountId> SqliteLedger::create_account(std::string_view name, WallTime now) {
  if (auto status = check_name("account name", name); !status) return status.error();
  return db_.change([&] { return insert_account(name, now); });
}

Result<AccountId> SqliteLedger::insert_account(std::string_view name, WallTime now) {
  if (db_.query("SELECT 1 FROM accounts WHERE name = ?", name).next()) return name_taken(name);
  AccountId id(token_("acct_", kIdCharacters));
  db_.run("INSERT INTO accounts (id, name, created) VALUES (?, ?, ?)", id, name, now);
  return id;
}

Result<NewApiKey> SqliteLedger::open_account(std::string_view name, Credits opening,
                                             std::string_view key_label, WallTime now) {
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

Result<Account> SqliteLedger::account(const AccountId& id) {
  return db_.read([&]() -> Result<Account> {
    Query row = db_.query("SELECT * FROM account_rows WHERE id = ?", id);
    if (!row.next()) return no_such("account", id.value);
    return account_of(row);
  });
}

Result<Account> SqliteLedger::find_account(std::string_view name) {
  return db_.read([&]() -> Result<Account> {
    Query row = db_.query("SELECT * FROM account_rows WHERE name = ?", name);
    if (!row.next()) return no_such("account", name);
    return account_of(row);
  });
}

Result<std::vector<Account>> SqliteLedger::list_accounts() {
  return db_.read([&]() -> Result<std::vector<Account>> {
    std::vector<Account> all;
    for (Query row = db_.query("SELECT * FROM account_rows ORDER BY name"); row.next();)
      all.push_back(account_of(row));
    return all;
  });
}

Result<Credits> SqliteLedger::balance(const AccountId& id) {
  return db_.read([&]() -> Result<Credits> {
    if (!exists(id)) return no_such("account", id.value);
    return amount_in(book_of(id));
  });
}

Result<Credits> SqliteLedger::deposit(const AccountId& id, Credits amount, std::string_view reference,
                                      WallTime now) {
  if (auto status = check_amount("deposit", amount); !status) return status.error();
  if (auto status = check_name("reference", reference); !status) return status.error();
  return db_.change([&]() -> Result<Credits> {
    if (Status booked = book_deposit(id, amount, reference, now); !booked) return booked.error();
    return amount_in(book_of(id));
  });
}

Status SqliteLedger::book_deposit(const AccountId& id, Credits amount, std::string_view reference,
                                  WallTime now) {
  if (!exists(id)) return no_such("account", id.value);
  if (used(EntryKind::deposit, reference)) return reference_used(reference);
  if (amount_in(external_book()) - amount < -kMaxSupply) return supply_exceeded();
  const Leg legs[] = {{external_book(), -amount}, {book_of(id), amount}};
  post(EntryKind::deposit, reference, legs, now);
  return ok();
}

// ---- API keys ----

Result<NewApiKey> SqliteLedger::create_api_key(const AccountId& account, std::string_view label,
                                               WallTime now) {
  if (auto status = check_text("label", label); !status) return status.error();
  return db_.change([&]() -> Result<NewApiKey> {
    if (!exists(account)) return no_such("account", account.value);
    return insert_api_key(account, label, now);
  });
}

NewApiKey SqliteLedger::insert_api_key(const AccountId& account, std::string_view label, WallTime now) {
  NewApiKey made{token_("ctk_", kSecretCharacters), {}};
  const Digest hash = crypto::sha256(bytes_of(made.secret));
  made.key = {to_hex(hash).substr(0, 16), account, std::string(label), false, now};
  db_.run(
      "INSERT INTO api_keys (id, secret_hash, account, label, revoked, created) VALUES (?, ?, ?, ?, 0, ?)",
      made.key.id, hash, account, label, now);
  return made;
}

Result<AccountId> SqliteLedger::find_by_api_key(std::string_view secret) {
  const Digest hash = crypto::sha256(bytes_of(secret));
  return db_.read([&]() -> Result<AccountId> {
    Query row = db_.query("SELECT account FROM api_keys WHERE secret_hash = ? AND revoked = 0", hash);
    if (!row.next()) return unknown_secret("API key");
    return AccountId(row.text(0));
  });
}

Result<std::vector<ApiKey>> SqliteLedger::list_api_keys(const AccountId& account) {
  return db_.read([&]() -> Result<std::vector<ApiKey>> {
    if (!exists(account)) return no_such("account", account.value);
    std::vector<ApiKey> all;
    Query row = db_.query(
        "SELECT id, label, revoked, created FROM api_keys WHERE account = ? ORDER BY number", account);
    while (row.next()) all.push_back({row.text(0), account, row.text(1), row.flag(2), row.time(3)});
    return all;
  });
}

Status SqliteLedger::revoke_api_key(std::string_view key_id) {
  return db_.change([&]() -> Status {
    db_.run("UPDATE api_keys SET revoked = 1 WHERE id = ?", key_id);
    if (db_.changes() == 0) return no_such("API key", key_id);
    return ok();
  });
}

// ---- prices ----

Status SqliteLedger::set_price(std::string_view model, Price price) {
  if (auto status = check_name("model", model); !status) return status;
  if (auto status = check_price(price); !status) return status;
  return db_.change([&]() -> Status {
    db_.run("INSERT OR REPLACE INTO prices (model, prompt, completion) VALUES (?, ?, ?)", model, price.prompt,
            price.completion);
    return ok();
  });
}

Result<Price> SqliteLedger::price(std::string_view model) {
  return db_.read([&]() -> Result<Price> {
    Query row = db_.query("SELECT prompt, completion FROM prices WHERE model = ?", model);
    if (!row.next()) return no_such("model", model);
    return Price{row.credits(0), row.credits(1)};
  });
}

}  // namespace cortensor::ledger
