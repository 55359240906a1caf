#include "ledger/postgres_database.h"

#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <charconv>
#include <unordered_map>
#include <vector>

#include "base/hex.h"
#include "ledger/postgres_schema.h"
#include "ledger/rules.h"

namespace cortensor::ledger {
namespace {

struct Deleter {
  void operator()(PGconn* connection) const { PQfinish(connection); }
  void operator()(PGresult* result) const { PQclear(result); }
  void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};
using Connection = std::unique_ptr<PGconn, Deleter>;
using Answer = std::unique_ptr<PGresult, Deleter>;

// What the server is told about each connection. Index scans, because reading a whole table collides with
// everybody who writes to it; the price that the planner then puts on the others would make it compile them.
// A program that hangs in a transaction must not keep its locks.
constexpr const char* kSettings =
    "SET search_path TO cortensor; SET synchronous_commit TO on; SET bytea_output TO hex;"
    " SET enable_seqscan TO off; SET jit TO off; SET idle_in_transaction_session_timeout TO '10s'";

// What a server may take to answer when nothing is in its way; also where it has to read everything.
constexpr std::chrono::seconds kAnswer{10}, kLongAnswer{600};

class PostgresDatabase final : public Database {
 public:
  PostgresDatabase(std::string url, std::string name, std::chrono::milliseconds patience)
      : Database(std::move(name), patience), url_(std::move(url)) {}

  // Creates or updates the tables; refuses those of a later version.
  Status prepare();

  std::string damage() override;

 protected:
  std::unique_ptr<Rows> execute(const char* sql, std::span<const Parameter> parameters) override;
  std::int64_t touched() const override { return touched_; }
  void script(const char* sql) override {
    if (!failed()) succeeded(answer(PQsendQuery(connection_.get(), sql)));
  }
  void begin(Scope scope) override;
  void commit() override;
  void roll_back() override;

 private:
  static const char* opening(Scope scope);
  bool usable() const;
  void give_up_for(std::chrono::steady_clock::duration time, std::string what, std::string details = {});
  void connect();
  Answer answer(int sent);
  const std::string* prepared(const char* sql);
  bool succeeded(const Answer& said);
  void fail_with_state(std::string_view state, const std::string& what);
  std::string last_words() const;

  std::string url_;
  Connection connection_;
  bool distrusted_ = false;                                  // what was said last ends the connection
  std::chrono::steady_clock::time_point not_before_{};       // of the next attempt to connect
  std::string trouble_, details_;                            // for which nothing is tried until then
  std::chrono::milliseconds allowed_ = kAnswer;              // for an answer, beside waiting for locks
  std::unordered_map<const char*, std::string> statements_;  // the names that the server knows them by
  std::int64_t touched_ = 0;
};

class PostgresRows final : public Rows {
 public:
  explicit PostgresRows(Answer answer) : answer_(std::move(answer)) {}

  bool next() override { return ++row_ < PQntuples(answer_.get()); }
  bool is_null(int column) const override { return PQgetisnull(answer_.get(), row_, column) != 0; }
  std::int64_t integer(int column) const override {
    const std::string_view digits = raw(column);
    std::int64_t value = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return value;
  }
  std::string text(int column) const override { return std::string(raw(column)); }
  std::optional<Digest> digest(int column) const override {
    const std::string_view hex = raw(column);  // "\x" and two digits a byte
    if (!hex.starts_with("\\x")) return std::nullopt;
    const auto bytes = bytes32_from_hex(hex.substr(2));
    return bytes ? std::optional<Digest>(*bytes) : std::nullopt;
  }

 private:
  std::string_view raw(int column) const {
    return {PQgetvalue(answer_.get(), row_, column),
            static_cast<std::size_t>(PQgetlength(answer_.get(), row_, column))};
  }

  Answer answer_;
  int row_ = -1;
};

// ---- the connection ----

// The last result of what was sent, as PQexec() has it, but of a server that stands still no longer than it
// is allowed to.
Answer PostgresDatabase::answer(int sent) {
  using std::chrono::steady_clock;
  const auto deadline = steady_clock::now() + patience() + allowed_;
  Answer last;
  while (sent != 0) {
    while (PQisBusy(connection_.get()) != 0) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now()).count();
      pollfd socket{PQsocket(connection_.get()), POLLIN, 0};
      const int ready = left <= 0 ? 0 : ::poll(&socket, 1, static_cast<int>(left));
      if (ready < 0 && errno == EINTR) continue;
      if (ready == 0) {
        distrusted_ = true;
        give_up_for(std::chrono::seconds(3), "the server does not answer");
        return nullptr;
      }
      if (ready < 0 || PQconsumeInput(connection_.get()) == 0) break;
    }
    Answer next(PQgetResult(connection_.get()));
    if (!next) break;
    const bool wrong = PQresultStatus(next.get()) == PGRES_FATAL_ERROR;
    if (!last || wrong || PQresultStatus(last.get()) != PGRES_FATAL_ERROR) last = std::move(next);
  }
  return last;
}

bool PostgresDatabase::usable() const {
  return connection_ && PQstatus(connection_.get()) == CONNECTION_OK &&
         PQtransactionStatus(connection_.get()) == PQTRANS_IDLE;
}

void PostgresDatabase::connect() {
  // What stands before the URL is what it may change: a server that has gone is noticed in seconds, and of
  // several the one is meant that takes writes.
  constexpr std::pair<const char*, const char*> kDefaults[] = {{"connect_timeout", "3"},
                                                               {"keepalives_idle", "5"},
                                                               {"keepalives_interval", "2"},
                                                               {"keepalives_count", "3"},
                                                               {"tcp_user_timeout", "10000"},
                                                               {"target_session_attrs", "read-write"},
                                                               {"fallback_application_name", "cortensor"}};
  std::vector<const char*> keys, values;
  for (const auto& [key, value] : kDefaults) {
    keys.push_back(key);
    values.push_back(value);
  }
  keys.insert(keys.end(), {"dbname", "client_encoding", nullptr});
  values.insert(values.end(), {url_.c_str(), "UTF8", nullptr});

  // Who waits for the ledger has other things to do as well: a server that is slow to be missed is looked for
  // less often.
  using std::chrono::steady_clock;
  const auto began = steady_clock::now();
  if (began < not_before_) return fail_with(ErrorKind::unavailable, trouble_, details_);
  statements_.clear();
  distrusted_ = false;
  connection_.reset(PQconnectdbParams(keys.data(), values.data(), 1));
  if (!connection_ || PQstatus(connection_.get()) != CONNECTION_OK) {
    return give_up_for(5 * (steady_clock::now() - began), "cannot connect", last_words());
  }
  PQsetNoticeProcessor(
      connection_.get(), [](void*, const char*) {}, nullptr);
  script((std::string(kSettings) + "; SET lock_timeout TO " + std::to_string(patience().count())).c_str());
  distrusted_ = failed();
}

void PostgresDatabase::give_up_for(std::chrono::steady_clock::duration time, std::string what,
                                   std::string details) {
  not_before_ = std::chrono::steady_clock::now() + time;
  trouble_ = std::move(what);
  details_ = std::move(details);
  fail_with(ErrorKind::unavailable, trouble_, details_);
}

// libpq's own message on one line; it quotes what it was given, so the password is looked for.
std::string PostgresDatabase::last_words() const {
  std::string words = connection_ ? PQerrorMessage(connection_.get()) : "out of memory";
  while (!words.empty() && words.back() == '\n') words.pop_back();
  for (std::size_t at = 0; (at = words.find_first_of("\n\t", at)) != std::string::npos;) words[at] = ' ';
  const std::string password = connection_ ? PQpass(connection_.get()) : "";
  for (std::size_t at = 0; !password.empty() && (at = words.find(password, at)) != std::string::npos;)
    words.replace(at, password.size(), "…");
  return words;
}

// ---- transactions ----

const char* PostgresDatabase::opening(Scope scope) {
  switch (scope) {
    case Scope::read:
      return "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    case Scope::change:
      return "BEGIN ISOLATION LEVEL SERIALIZABLE";
    case Scope::turn:  // a lock on a table that is hardly written otherwise, taken before there is a snapshot
      return "BEGIN ISOLATION LEVEL SERIALIZABLE; LOCK TABLE migrations IN EXCLUSIVE MODE";
    case Scope::migration:  // sees what was done by those for whom it has waited
      break;
  }
  return "BEGIN ISOLATION LEVEL READ COMMITTED";
}

void PostgresDatabase::begin(Scope scope) {
  allowed_ = scope == Scope::migration ? kLongAnswer : kAnswer;
  const bool kept = usable();
  if (!kept) connect();
  if (failed()) return;
  script(opening(scope));
  // A connection may have been lost since it was last used, and nothing with it.
  if (failed() && kept && (distrusted_ || PQstatus(connection_.get()) != CONNECTION_OK)) {
    forget_failure();
    connect();
    if (!failed()) script(opening(scope));
  }
}

void PostgresDatabase::commit() {
  const Answer done = answer(PQsendQuery(connection_.get(), "COMMIT"));
  if (succeeded(done) && std::string_view(PQcmdStatus(done.get())) != "COMMIT")
    fail_with(ErrorKind::internal, "a transaction was rolled back unnoticed");
}

void PostgresDatabase::roll_back() {
  if (distrusted_ || !connection_ || PQstatus(connection_.get()) != CONNECTION_OK) return connection_.reset();
  if (PQtransactionStatus(connection_.get()) == PQTRANS_IDLE) return;
  const Answer done = answer(PQsendQuery(connection_.get(), "ROLLBACK"));
  if (PQresultStatus(done.get()) != PGRES_COMMAND_OK) connection_.reset();
}

// ---- statements ----

const std::string* PostgresDatabase::prepared(const char* sql) {
  if (const auto known = statements_.find(sql); known != statements_.end()) return &known->second;
  std::string name = "s" + std::to_string(statements_.size());
  if (!succeeded(answer(PQsendPrepare(connection_.get(), name.c_str(), sql, 0, nullptr)))) return nullptr;
  return &statements_.emplace(sql, std::move(name)).first->second;
}

std::unique_ptr<Rows> PostgresDatabase::execute(const char* sql, std::span<const Parameter> parameters) {
  const std::string* name = prepared(sql);
  if (!name) return nullptr;
  const std::size_t count = parameters.size();
  std::vector<std::string> texts(count);
  std::vector<const char*> values(count, nullptr);
  std::vector<int> lengths(count, 0), formats(count, 0);
  for (std::size_t i = 0; i < count; ++i) {
    if (const auto* number = std::get_if<std::int64_t>(&parameters[i])) {
      texts[i] = std::to_string(*number);
    } else if (const auto* digest = std::get_if<Digest>(&parameters[i])) {
      texts[i] = text_of(*digest);
      formats[i] = 1;
      lengths[i] = static_cast<int>(digest->size());
    } else if (const auto* text = std::get_if<std::string_view>(&parameters[i]); text && is_storable(*text)) {
      texts[i] = *text;
    } else {
      continue;  // NULL; also for a text that cannot be stored, which is equal to nothing that is
    }
    values[i] = texts[i].c_str();
  }
  Answer result = answer(PQsendQueryPrepared(connection_.get(), name->c_str(), static_cast<int>(count),
                                             values.data(), lengths.data(), formats.data(), 0));
  if (!succeeded(result)) return nullptr;
  const std::string_view rows = PQcmdTuples(result.get());
  touched_ = 0;
  std::from_chars(rows.data(), rows.data() + rows.size(), touched_);
  return std::make_unique<PostgresRows>(std::move(result));
}

bool PostgresDatabase::succeeded(const Answer& said) {
  if (failed()) return false;
  const ExecStatusType status = PQresultStatus(said.get());
  if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) return true;
  const char* state = PQresultErrorField(said.get(), PG_DIAG_SQLSTATE);
  const char* what = PQresultErrorField(said.get(), PG_DIAG_MESSAGE_PRIMARY);
  fail_with_state(state ? state : "", what ? what : "");
  return false;
}

// What a caller can act on, by SQLSTATE. Anything else is our own mistake.
void PostgresDatabase::fail_with_state(std::string_view state, const std::string& what) {
  const auto in_class = [&](std::string_view prefix) { return state.starts_with(prefix); };
  if (state == "40001" || state == "40P01")
    return collide(ErrorKind::unavailable, "others change the same all the time");
  // Somebody booked the same between our look and our write: the next look finds it.
  if (state == "23505") return collide(ErrorKind::internal, what);
  if (state == "55P03") return fail_with(ErrorKind::unavailable, "locked by another process for too long");
  if (state == "53100") return fail_with(ErrorKind::unavailable, "disk full");
  if (in_class("53") || in_class("58") || state == "57014") return fail_with(ErrorKind::unavailable, what);
  if (state == "42501") return fail_with(ErrorKind::unavailable, "no permission: " + what);
  if (in_class("XX00") && state != "XX000") return fail_with(ErrorKind::corrupt, what);
  // The server ends, is a replica now, or has ended: the next transaction looks for one that serves.
  if (state.empty() || in_class("08") || in_class("57P") || in_class("25P03") || state == "25006") {
    distrusted_ = true;
    return fail_with(ErrorKind::unavailable, "the connection was lost" + (what.empty() ? "" : ": " + what));
  }
  fail_with(ErrorKind::internal, what + " (" + std::string(state) + ")");
}

// ---- schema ----

Status PostgresDatabase::prepare() {
  const auto migrate = [&]() -> Status {
    // One program at a time; the others wait, and find the work done.
    script("SET LOCAL lock_timeout TO '60s'; SELECT pg_advisory_xact_lock(1129598023)");
    if (query("SELECT 1 WHERE current_setting('server_encoding') <> 'UTF8'").next())
      return fail(ErrorKind::unsupported, "ledger " + name() + ": expected a database with encoding UTF8");
    if (!query("SELECT 1 FROM pg_namespace WHERE nspname = 'cortensor'").next())
      script("CREATE SCHEMA cortensor; CREATE TABLE migrations (version BIGINT PRIMARY KEY)");
    Query applied = query("SELECT coalesce(max(version), 0) FROM migrations");
    const auto version = checked_schema(applied.next() ? applied.integer(0) : 0, kPostgresMigrations.size());
    if (!version) return version.error();
    for (std::size_t next = *version; next < kPostgresMigrations.size(); ++next) {
      script(kPostgresMigrations[next]);
      run("INSERT INTO migrations (version) VALUES ($1)", std::uint64_t{next + 1});
    }
    return ok();
  };
  return transaction(Scope::migration, migrate);
}

// The server checks references itself. An audit reads everything, for which no index is of use.
std::string PostgresDatabase::damage() {
  allowed_ = kLongAnswer;
  script("SET LOCAL enable_seqscan TO on");
  return {};
}

// The database's name, for messages. invalid_input: the URL cannot be read; the message says nothing of it,
// since a misplaced character makes a host, a port or a name of a part of the password.
Result<std::string> database_of(const std::string& url) {
  const auto wrong = fail(ErrorKind::invalid_input,
                          "ledger: expected postgresql://USER@HOST:PORT/DATABASE, special characters in a "
                          "part of it written as %XX");
  if (!url.starts_with("postgresql://") && !url.starts_with("postgres://")) return wrong;
  const std::unique_ptr<PQconninfoOption, Deleter> options(PQconninfoParse(url.c_str(), nullptr));
  if (!options) return wrong;
  std::string database = "postgresql";
  for (const PQconninfoOption* option = options.get(); option->keyword; ++option) {
    const std::string_view key = option->keyword, value = option->val ? option->val : "";
    const bool place = key == "host" || key == "hostaddr" || key == "dbname";
    if ((place && value.find('@') != value.npos) ||
        (key == "port" && value.find_first_not_of("0123456789,") != value.npos))
      return wrong;
    if (key == "dbname" && !value.empty()) database = value;
  }
  return database;
}

}  // namespace

Result<std::unique_ptr<Database>> open_postgres(const std::string& url, std::chrono::milliseconds patience) {
  auto name = database_of(url);
  if (!name) return name.error();
  auto database = std::make_unique<PostgresDatabase>(url, *std::move(name), patience);
  if (auto status = database->prepare(); !status) return status.error();
  return database;
}

}  // namespace cortensor::ledger
