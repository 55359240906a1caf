#include "ledger/sqlite_database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/check.h"

namespace cortensor::ledger {
namespace {

// What a caller can act on: the disk, a lock, damage. Anything else is our own mistake.
Error error_of(int code, const std::string& name, const char* detail) {
  const auto failure = [&](ErrorKind kind, std::string what) {
    return fail(kind, "ledger " + name + ": " + what);
  };
  switch (code & 0xff) {
    case SQLITE_FULL:
      return failure(ErrorKind::unavailable, "disk full");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return failure(ErrorKind::unavailable, "locked by another process for too long");
    case SQLITE_IOERR:
      return failure(ErrorKind::unavailable,
                     "reading or writing the file failed (code " + std::to_string(code) + ")");
    case SQLITE_CANTOPEN:
      return failure(ErrorKind::unavailable, "cannot open the file");
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return failure(ErrorKind::unavailable, "no permission to write the file");
    case SQLITE_NOMEM:
      return failure(ErrorKind::unavailable, "out of memory");
    case SQLITE_NOTADB:
      return failure(ErrorKind::corrupt, "not a ledger");
    case SQLITE_CORRUPT:
      return failure(ErrorKind::corrupt, "the file is damaged");
    default:
      return failure(ErrorKind::internal, detail);
  }
}

}  // namespace

// ---- Query ----

Query::Query(Query&& other) noexcept
    : database_(other.database_), statement_(std::exchange(other.statement_, nullptr)) {}

Query::~Query() {
  if (!statement_) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

bool Query::next() {
  if (!statement_ || database_->failed()) return false;
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) database_->fail_with(code);
  return false;
}

std::int64_t Query::integer(int column) const {
  return statement_ ? sqlite3_column_int64(statement_, column) : 0;
}

std::string Query::text(int column) const {
  const unsigned char* raw = statement_ ? sqlite3_column_text(statement_, column) : nullptr;
  if (!raw) return {};
  return {reinterpret_cast<const char*>(raw),
          static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

bool Query::is_null(int column) const {
  return !statement_ || sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

Digest Query::digest(int column) const {
  Digest digest{};
  const void* raw = statement_ ? sqlite3_column_blob(statement_, column) : nullptr;
  if (raw && sqlite3_column_bytes(statement_, column) == static_cast<int>(digest.size()))
    std::memcpy(digest.data(), raw, digest.size());
  else
    mark_corrupt();
  return digest;
}

void Query::mark_corrupt() const {
  if (!database_->failed()) database_->mark_corrupt("a stored value is out of its range");
}

void Query::bind(int at, std::int64_t value) {
  if (statement_) CORTENSOR_CHECK(sqlite3_bind_int64(statement_, at, value) == SQLITE_OK);
}

// SQLite copies: a query outlives the expression that made its values.
void Query::bind(int at, std::string_view value) {
  if (!statement_) return;
  const char* raw = value.data() ? value.data() : "";
  const int code = sqlite3_bind_text64(statement_, at, raw, value.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  if (code != SQLITE_OK) database_->fail_with(code);
}

void Query::bind(int at, const Digest& value) {
  if (!statement_) return;
  const int code = sqlite3_bind_blob64(statement_, at, value.data(), value.size(), SQLITE_TRANSIENT);
  if (code != SQLITE_OK) database_->fail_with(code);
}

// ---- Database ----

Result<std::unique_ptr<Database>> Database::open(const std::filesystem::path& path,
                                                 std::chrono::milliseconds busy_timeout,
                                                 const std::string& vfs) {
  const std::string name = path.filename().string();
  // Made here, because SQLite would make it readable by all; its companions -wal and -shm take the mode over.
  // A file that exists is not touched: closing it would drop the locks of this process's other connections.
  if (const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600); file >= 0)
    ::close(file);
  else if (errno != EEXIST)
    return fail(ErrorKind::unavailable,
                "ledger " + name + ": cannot create the file: " + std::strerror(errno));

  sqlite3* handle = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                                   vfs.empty() ? nullptr : vfs.c_str());
  std::unique_ptr<Database> database(new Database(handle, name, busy_timeout));
  if (code != SQLITE_OK)
    return error_of(code, name, handle ? sqlite3_errmsg(handle) : "cannot open the file");
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_timeout(handle, static_cast<int>(busy_timeout.count()));
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  database->script("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cell_size_check = ON;");
  if (database->failed()) return *database->error_;
  return database;
}

Database::~Database() {
  for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  CORTENSOR_CHECK(sqlite3_close(handle_) == SQLITE_OK);
}

// SQLite does not always wait for a lock here: two processes that open a new file may meet.
Status Database::enter_write_ahead_mode() {
  const auto deadline = Clock::now() + busy_timeout_;
  for (;;) {
    error_.reset();
    if (Query mode = query("PRAGMA journal_mode = WAL"); mode.next() && mode.text(0) == "wal") return ok();
    if (!failed())
      return fail(ErrorKind::unavailable, "ledger " + name_ + ": no write-ahead log on this disk");
    if ((code_ & 0xff) != SQLITE_BUSY || Clock::now() >= deadline) return *error_;
    sqlite3_sleep(10);
  }
}

std::int64_t Database::changes() const {
  return failed() ? 0 : sqlite3_changes64(handle_);
}

void Database::mark_corrupt(std::string what) {
  error_ = fail(ErrorKind::corrupt, "ledger " + name_ + ": " + what);
}

void Database::script(const char* sql) {
  if (failed()) return;
  if (const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr); code != SQLITE_OK)
    fail_with(code);
}

sqlite3_stmt* Database::prepare(const char* sql) {
  if (failed()) return nullptr;
  sqlite3_stmt*& statement = statements_[sql];
  if (!statement) {
    const int code = sqlite3_prepare_v3(handle_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
    if (code != SQLITE_OK) {
      fail_with(code);
      return nullptr;
    }
  }
  CORTENSOR_CHECK(!sqlite3_stmt_busy(statement));
  return statement;
}

// Some errors (disk full, among others) have rolled back already.
void Database::roll_back() {
  if (sqlite3_get_autocommit(handle_) == 0) sqlite3_exec(handle_, "ROLLBACK", nullptr, nullptr, nullptr);
}

Error Database::told() {
  const Error error = *error_;
  if (health_ && told_ != error.message) {
    told_ = error.message;
    health_(error);
  }
  return error;
}

void Database::fail_with(int code) {
  if (failed()) return;
  error_ = error_of(code, name_, sqlite3_errmsg(handle_));
  code_ = code;
}

}  // namespace cortensor::ledger
