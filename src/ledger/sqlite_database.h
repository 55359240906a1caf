// A thin hold on SQLite: prepared statements by text, whole transactions, one way to fail. Private to the
// folder.
//
// Failure is sticky, as in ByteReader: after the first failed call inside a transaction everything yields
// nothing (no rows, zeros), and change() or read() returns that first error and rolls back, whatever its body
// returned. So the code of a transaction reads top to bottom and is written as if the store could not fail.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/bytes.h"
#include "base/generation.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/runtime/executor.h"
#include "base/units.h"

struct sqlite3;
struct sqlite3_stmt;

namespace cortensor::ledger {

class Database;

// One run of a statement. Ends (and frees the statement for the next run) when it goes out of scope.
class Query {
 public:
  Query(Query&& other) noexcept;
  Query& operator=(Query&&) = delete;
  ~Query();

  // Moves to the next row; false after the last one and after a failure.
  bool next();

  // The current row's columns, counted from 0; what a missing row or NULL yields is zero or empty.
  std::int64_t integer(int column) const;
  std::string text(int column) const;
  bool is_null(int column) const;
  Digest digest(int column) const;  // marks the store corrupt unless it is 32 bytes
  std::uint32_t number(int column) const { return bounded<std::uint32_t>(column, UINT32_MAX); }
  bool flag(int column) const { return integer(column) != 0; }
  Credits credits(int column) const { return {integer(column)}; }
  WallTime time(int column) const { return WallTime(std::chrono::milliseconds(integer(column))); }
  // Marks the store corrupt when the value is not one of 0 to last.
  template <class Enum>
  Enum one_of(int column, Enum last) const {
    return bounded<Enum>(column, static_cast<std::int64_t>(last));
  }

 private:
  friend class Database;
  Query(Database& database, sqlite3_stmt* statement) : database_(&database), statement_(statement) {}

  template <class T>
  T bounded(int column, std::int64_t last) const {
    const std::int64_t value = integer(column);
    if (value >= 0 && value <= last) return static_cast<T>(value);
    mark_corrupt();
    return T{};
  }
  void mark_corrupt() const;

  void bind(int at, std::int64_t value);
  void bind(int at, std::string_view value);
  void bind(int at, const Digest& value);
  void bind(int at, std::uint32_t value) { bind(at, std::int64_t{value}); }
  void bind(int at, std::uint64_t value) { bind(at, static_cast<std::int64_t>(value)); }
  void bind(int at, bool value) { bind(at, std::int64_t{value}); }
  void bind(int at, const std::string& value) { bind(at, std::string_view(value)); }
  void bind(int at, const char* value) { bind(at, std::string_view(value)); }
  void bind(int at, Credits value) { bind(at, value.micro); }
  void bind(int at, WallTime value) { bind(at, std::int64_t{value.time_since_epoch().count()}); }
  template <class Tag>
  void bind(int at, const Id<Tag>& value) {
    bind(at, std::string_view(value.value));
  }
  template <class Enum>
  requires std::is_enum_v<Enum>
  void bind(int at, Enum value) { bind(at, static_cast<std::int64_t>(value)); }
  template <class T>
  void bind(int at, const std::optional<T>& value) {
    if (value) bind(at, *value);  // else it stays NULL
  }

  Database* database_;
  sqlite3_stmt* statement_;  // null after a failure to prepare
};

class Database {
 public:
  // Opens or creates the file with mode 0600; full syncs and foreign keys are on.
  static Result<std::unique_ptr<Database>> open(const std::filesystem::path& path,
                                                std::chrono::milliseconds busy_timeout,
                                                const std::string& vfs);
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database();

  // `sql` is a literal: prepared once and kept, found again by its address.
  template <class... Values>
  Query query(const char* sql, const Values&... values) {
    Query result(*this, prepare(sql));
    int at = 0;
    (result.bind(++at, values), ...);
    return result;
  }
  // A statement without rows.
  template <class... Values>
  void run(const char* sql, const Values&... values) {
    query(sql, values...).next();
  }
  // Rows touched by the latest run().
  std::int64_t changes() const;

  // Runs `body` in a transaction: committed when it returns success and nothing failed, else rolled back.
  // change() takes the write lock first, so that what it reads stays true until it commits; read() sees one
  // snapshot.
  template <class Body>
  auto change(Body&& body) {
    auto result = transaction("BEGIN IMMEDIATE", std::forward<Body>(body));
    if (result && health_ && !told_.empty()) {
      told_.clear();
      health_(ok());
    }
    return result;
  }
  template <class Body>
  auto read(Body&& body) {
    return transaction("BEGIN", std::forward<Body>(body));
  }

  // Called when what a transaction fails with is another error than before, and when a change succeeds again.
  void watch(std::function<void(const Status&)> health) { health_ = std::move(health); }

  // Lasting: the file keeps the mode.
  Status enter_write_ahead_mode();

  bool failed() const { return error_.has_value(); }
  void mark_corrupt(std::string what);
  // Several statements of trusted text (the schema).
  void script(const char* sql);

 private:
  friend class Query;
  Database(sqlite3* handle, std::string name, std::chrono::milliseconds busy_timeout)
      : handle_(handle), name_(std::move(name)), busy_timeout_(busy_timeout) {}

  template <class Body>
  auto transaction(const char* begin, Body&& body) -> decltype(body()) {
    error_.reset();
    run(begin);
    if (failed()) return told();
    auto result = body();
    if (!failed() && result) run("COMMIT");
    if (failed() || !result) roll_back();
    if (failed()) return told();
    return result;
  }

  sqlite3_stmt* prepare(const char* sql);
  void roll_back();
  void fail_with(int code);
  Error told();  // error_, once the one who watches has heard of it

  sqlite3* handle_;
  std::string name_;  // of the file, for messages
  std::chrono::milliseconds busy_timeout_;
  std::unordered_map<const char*, sqlite3_stmt*> statements_;
  std::optional<Error> error_;
  int code_ = 0;  // SQLite's, of error_
  std::function<void(const Status&)> health_;
  std::string told_;  // the message of the latest failure; empty while all is well
};

}  // namespace cortensor::ledger
