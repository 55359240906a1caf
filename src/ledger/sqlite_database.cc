#include "ledger/sqlite_database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <unordered_map>

#include "base/check.h"
#include "ledger/rules.h"
#include "ledger/sqlite_schema.h"

namespace cortensor::ledger {
namespace {

class SqliteDatabase final : public Database {
 public:
  SqliteDatabase(std::string name, std::chrono::milliseconds patience)
      : Database(std::move(name), patience) {}
  ~SqliteDatabase() override {
    for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
    CORTENSOR_CHECK(sqlite3_close(handle_) == SQLITE_OK);
  }

  Status open(const std::filesystem::path& path, const std::string& vfs);
  // Creates or updates the tables; refuses what is not a ledger, is damaged, or comes from a later version.
  Status prepare();

  std::string damage() override;

 protected:
  std::unique_ptr<Rows> execute(const char* sql, std::span<const Parameter> parameters) override;
  std::int64_t touched() const override { return sqlite3_changes64(handle_); }
  void script(const char* sql) override;
  // Who changes takes the write lock first, so there is only one at a time.
  void begin(Scope scope) override { script(scope == Scope::read ? "BEGIN" : "BEGIN IMMEDIATE"); }
  void commit() override { script("COMMIT"); }
  void roll_back() override;

 private:
  friend class SqliteRows;

  void fail_with_code(int code);
  Result<std::size_t> schema_version();  // 0: an empty file
  Status enter_write_ahead_mode();

  sqlite3* handle_ = nullptr;
  std::unordered_map<const char*, sqlite3_stmt*> statements_;
  int code_ = 0;  // SQLite's, of the latest failure
};

class SqliteRows final : public Rows {
 public:
  SqliteRows(SqliteDatabase& database, sqlite3_stmt* statement)
      : database_(database), statement_(statement) {}
  SqliteRows(const SqliteRows&) = delete;
  SqliteRows& operator=(const SqliteRows&) = delete;
  ~SqliteRows() override {
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
  }

  bool next() override {
    const int code = sqlite3_step(statement_);
    if (code == SQLITE_ROW) return true;
    if (code != SQLITE_DONE) database_.fail_with_code(code);
    return false;
  }
  bool is_null(int column) const override { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }
  std::int64_t integer(int column) const override { return sqlite3_column_int64(statement_, column); }
  std::string text(int column) const override {
    const unsigned char* raw = sqlite3_column_text(statement_, column);
    if (!raw) return {};
    return {reinterpret_cast<const char*>(raw),
            static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
  }
  std::optional<Digest> digest(int column) const override {
    Digest digest{};
    const void* raw = sqlite3_column_blob(statement_, column);
    if (!raw || sqlite3_column_bytes(statement_, column) != static_cast<int>(digest.size()))
      return std::nullopt;
    std::memcpy(digest.data(), raw, digest.size());
    return digest;
  }

  // SQLite copies: the rows outlive the expression that made the values.
  int bind(int at, std::monostate) { return sqlite3_bind_null(statement_, at); }
  int bind(int at, std::int64_t value) { return sqlite3_bind_int64(statement_, at, value); }
  int bind(int at, std::string_view value) {
    const char* raw = value.data() ? value.data() : "";
    return sqlite3_bind_text64(statement_, at, raw, value.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  }
  int bind(int at, const Digest& value) {
    return sqlite3_bind_blob64(statement_, at, value.data(), value.size(), SQLITE_TRANSIENT);
  }

 private:
  SqliteDatabase& database_;
  sqlite3_stmt* statement_;
};

Status SqliteDatabase::open(const std::filesystem::path& path, const std::string& vfs) {
  // Made here, because SQLite would make it readable by all; its companions -wal and -shm take the mode over.
  // A file that exists is not touched: closing it would drop the locks of this process's other connections.
  if (const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600); file >= 0)
    ::close(file);
  else if (errno != EEXIST)
    return fail(ErrorKind::unavailable,
                "ledger " + name() + ": cannot create the file: " + std::strerror(errno));

  const int code = sqlite3_open_v2(path.c_str(), &handle_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                                   vfs.empty() ? nullptr : vfs.c_str());
  if (code != SQLITE_OK) {
    fail_with_code(code);
    return failure();
  }
  sqlite3_extended_result_codes(handle_, 1);
  sqlite3_busy_timeout(handle_, static_cast<int>(patience().count()));
  sqlite3_db_config(handle_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(handle_, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  script("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cell_size_check = ON;");
  if (failed()) return failure();
  return ok();
}

Result<std::size_t> SqliteDatabase::schema_version() {
  Query application = query("PRAGMA application_id");
  const std::int64_t id = application.next() ? application.integer(0) : 0;
  Query tables = query("SELECT count(*) FROM sqlite_schema");
  if (tables.next() && tables.integer(0) == 0) return 0;
  if (id != kSqliteApplicationId) return fail(ErrorKind::corrupt, "the file is not a ledger");
  Query applied = query("SELECT coalesce(max(version), 0) FROM migrations");
  return checked_schema(applied.next() ? applied.integer(0) : 0, kSqliteMigrations.size());
}

Status SqliteDatabase::prepare() {
  const auto found = read([&]() -> Result<std::size_t> {
    if (Query check = query("PRAGMA quick_check(1)"); check.next() && check.text(0) != "ok")
      return fail(ErrorKind::corrupt, "the ledger is damaged: " + check.text(0));
    return schema_version();
  });
  if (!found) return found.error();
  if (auto status = enter_write_ahead_mode(); !status) return status;
  if (*found == kSqliteMigrations.size()) return ok();
  return change([&]() -> Status {
    const auto version = schema_version();  // again, under the lock: another process may have come first
    if (!version) return version.error();
    static_assert(kSqliteApplicationId == 0x43544c47);
    if (*version == 0)
      script(
          "PRAGMA application_id = 0x43544c47; CREATE TABLE migrations (version INTEGER PRIMARY KEY) "
          "STRICT;");
    for (std::size_t next = *version; next < kSqliteMigrations.size(); ++next) {
      script(kSqliteMigrations[next]);
      run("INSERT INTO migrations (version) VALUES ($1)", std::uint64_t{next + 1});
    }
    return ok();
  });
}

// Lasting: the file keeps the mode. SQLite does not always wait for a lock here: two processes that open a
// new file may meet.
Status SqliteDatabase::enter_write_ahead_mode() {
  const auto deadline = Clock::now() + patience();
  for (;;) {
    forget_failure();
    if (Query mode = query("PRAGMA journal_mode = WAL"); mode.next() && mode.text(0) == "wal") return ok();
    if (!failed())
      return fail(ErrorKind::unavailable, "ledger " + name() + ": no write-ahead log on this disk");
    if ((code_ & 0xff) != SQLITE_BUSY || Clock::now() >= deadline) return failure();
    sqlite3_sleep(10);
  }
}

std::string SqliteDatabase::damage() {
  if (Query check = query("PRAGMA integrity_check(1)"); check.next() && check.text(0) != "ok")
    return "the file is damaged: " + check.text(0);
  if (Query lost = query("SELECT 'a row of ' || \"table\" || ' refers to nothing in ' || parent"
                         " FROM pragma_foreign_key_check LIMIT 1");
      lost.next())
    return lost.text(0);
  return {};
}

std::unique_ptr<Rows> SqliteDatabase::execute(const char* sql, std::span<const Parameter> parameters) {
  sqlite3_stmt*& statement = statements_[sql];
  if (!statement) {
    const int code = sqlite3_prepare_v3(handle_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
    if (code != SQLITE_OK) {
      fail_with_code(code);
      return nullptr;
    }
  }
  CORTENSOR_CHECK(!sqlite3_stmt_busy(statement));
  auto rows = std::make_unique<SqliteRows>(*this, statement);
  int at = 0;
  for (const Parameter& parameter : parameters) {
    ++at;
    const int code = std::visit([&](const auto& value) { return rows->bind(at, value); }, parameter);
    if (code != SQLITE_OK) fail_with_code(code);
  }
  return rows;
}

void SqliteDatabase::script(const char* sql) {
  if (failed()) return;
  if (const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr); code != SQLITE_OK)
    fail_with_code(code);
}

// Some errors (disk full, among others) have rolled back already.
void SqliteDatabase::roll_back() {
  if (sqlite3_get_autocommit(handle_) == 0) sqlite3_exec(handle_, "ROLLBACK", nullptr, nullptr, nullptr);
}

// What a caller can act on: the disk, a lock, damage. Anything else is our own mistake.
void SqliteDatabase::fail_with_code(int code) {
  if (failed()) return;
  code_ = code;
  switch (code & 0xff) {
    case SQLITE_FULL:
      return fail_with(ErrorKind::unavailable, "disk full");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return fail_with(ErrorKind::unavailable, "locked by another process for too long");
    case SQLITE_IOERR:
      return fail_with(ErrorKind::unavailable,
                       "reading or writing the file failed (code " + std::to_string(code) + ")");
    case SQLITE_CANTOPEN:
      return fail_with(ErrorKind::unavailable, "cannot open the file");
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return fail_with(ErrorKind::unavailable, "no permission to write the file");
    case SQLITE_NOMEM:
      return fail_with(ErrorKind::unavailable, "out of memory");
    case SQLITE_NOTADB:
      return fail_with(ErrorKind::corrupt, "not a ledger");
    case SQLITE_CORRUPT:
      return fail_with(ErrorKind::corrupt, "the file is damaged");
    default:
      return fail_with(ErrorKind::internal, sqlite3_errmsg(handle_));
  }
}

}  // namespace

Result<std::unique_ptr<Database>> open_sqlite(const std::filesystem::path& path,
                                              std::chrono::milliseconds patience, const std::string& vfs) {
  auto database = std::make_unique<SqliteDatabase>(path.filename().string(), patience);
  if (auto status = database->open(path, vfs); !status) return status.error();
  if (auto status = database->prepare(); !status) return status.error();
  return database;
}

}  // namespace cortensor::ledger
