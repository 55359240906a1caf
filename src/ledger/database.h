// A thin hold on a database that speaks SQL: statements by text, whole transactions, one way to fail. The
// statements are the same for every database; what differs is behind the virtual functions. Private to the
// folder.
//
// Failure is sticky, as in ByteReader: after the first failed call inside a transaction everything yields
// nothing (no rows, zeros), and change() or read() returns that first error and rolls back, whatever its body
// returned. So the code of a transaction reads top to bottom and is written as if the store could not fail.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/bytes.h"
#include "base/generation.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/runtime/executor.h"
#include "base/units.h"

namespace cortensor::ledger {

// What a statement is given for $1, $2 and so on; monostate is NULL.
using Parameter = std::variant<std::monostate, std::int64_t, std::string_view, Digest>;

// The rows that one run of a statement yields. next() comes first; what a NULL column yields is zero or
// empty.
class Rows {
 public:
  virtual ~Rows() = default;
  virtual bool next() = 0;  // false after the last one and after a failure
  virtual bool is_null(int column) const = 0;
  virtual std::int64_t integer(int column) const = 0;
  virtual std::string text(int column) const = 0;
  virtual std::optional<Digest> digest(int column) const = 0;  // none unless it is 32 bytes
};

class Database;

// One run of a statement. Ends (and frees the statement for the next run) when it goes out of scope.
class Query {
 public:
  Query(Database& database, std::unique_ptr<Rows> rows) : database_(&database), rows_(std::move(rows)) {}
  Query(Query&&) noexcept = default;
  Query& operator=(Query&&) = delete;

  bool next();

  // The current row's columns, counted from 0.
  bool is_null(int column) const { return !rows_ || rows_->is_null(column); }
  std::int64_t integer(int column) const { return rows_ ? rows_->integer(column) : 0; }
  std::string text(int column) const { return rows_ ? rows_->text(column) : std::string(); }
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
  template <class T>
  T bounded(int column, std::int64_t last) const {
    const std::int64_t value = integer(column);
    if (value >= 0 && value <= last) return static_cast<T>(value);
    mark_corrupt();
    return T{};
  }
  void mark_corrupt() const;

  Database* database_;
  std::unique_ptr<Rows> rows_;  // null after a failure
};

class Database {
 public:
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  virtual ~Database() = default;

  // `sql` is a literal: prepared once and kept, found again by its address. Its parameters $1, $2, … appear
  // in this order.
  template <class... Values>
  Query query(const char* sql, const Values&... values) {
    const std::array<Parameter, sizeof...(Values)> given{parameter(values)...};
    return Query(*this, failed() ? nullptr : execute(sql, given));
  }
  // A statement without rows; returns how many it has touched.
  template <class... Values>
  std::int64_t run(const char* sql, const Values&... values) {
    query(sql, values...).next();
    return failed() ? 0 : touched();
  }

  // Runs `body` in a transaction: committed when it returns success and nothing failed, else rolled back.
  // change(): what it reads stays true until it commits. For that, `body` may run several times; nothing of a
  // run but the last one may remain.
  template <class Body>
  auto change(Body&& body) {
    return reported(transaction(Scope::change, body));
  }
  // The same, one after the other among all processes: for changes that would often be in each other's way.
  template <class Body>
  auto change_in_turn(Body&& body) {
    return reported(transaction(Scope::turn, body));
  }
  // Sees one snapshot.
  template <class Body>
  auto read(Body&& body) {
    return transaction(Scope::read, body);
  }

  // Called when what a transaction fails with is another error than before, and when a change succeeds again.
  void watch(std::function<void(const Status&)> health) { health_ = std::move(health); }

  // Before an audit, in its transaction: what the database finds wrong with itself; empty: nothing.
  virtual std::string damage() = 0;

  bool failed() const { return error_.has_value(); }
  void mark_corrupt(std::string what) { fail_with(ErrorKind::corrupt, std::move(what)); }

 protected:
  enum class Scope { read, change, turn, migration };

  // `name` is of the store, for messages.
  Database(std::string name, std::chrono::milliseconds patience)
      : name_(std::move(name)), patience_(patience) {}

  virtual std::unique_ptr<Rows> execute(const char* sql, std::span<const Parameter> parameters) = 0;
  virtual std::int64_t touched() const = 0;  // rows, by the latest statement
  // Several statements of trusted text.
  virtual void script(const char* sql) = 0;
  virtual void begin(Scope scope) = 0;
  virtual void commit() = 0;
  virtual void roll_back() = 0;  // also when there is nothing to roll back

  template <class Body>
  auto transaction(Scope scope, Body& body) -> decltype(body()) {
    const auto deadline = Clock::now() + patience_;
    for (int attempt = 0;; ++attempt) {
      error_.reset();
      collided_ = false;
      begin(scope);
      if (!failed()) {
        auto result = body();
        if (!failed() && result) commit();
        if (failed() || !result) roll_back();
        if (!failed()) return result;
      } else {
        roll_back();
      }
      if (!collided_ || Clock::now() >= deadline) return told();
      pause(attempt);
    }
  }

  // The first failure counts. `details` (hosts and such) are for the operator: they go to the one who
  // watches, and into the error only when nobody does, since a router's clients get to read that.
  void fail_with(ErrorKind kind, std::string what, std::string details = {});
  // With another's change: the transaction may succeed when it is repeated.
  void collide(ErrorKind kind, std::string what) {
    if (failed()) return;
    fail_with(kind, std::move(what));
    collided_ = true;
  }
  void forget_failure() { error_.reset(); }
  const Error& failure() const { return *error_; }
  const std::string& name() const { return name_; }
  std::chrono::milliseconds patience() const { return patience_; }

 private:
  static Parameter parameter(std::int64_t value) { return value; }
  static Parameter parameter(std::string_view value) { return value; }
  static Parameter parameter(const Digest& value) { return value; }
  static Parameter parameter(std::uint32_t value) { return std::int64_t{value}; }
  static Parameter parameter(std::uint64_t value) { return static_cast<std::int64_t>(value); }
  static Parameter parameter(bool value) { return std::int64_t{value}; }
  static Parameter parameter(const std::string& value) { return std::string_view(value); }
  static Parameter parameter(Credits value) { return value.micro; }
  static Parameter parameter(WallTime value) { return std::int64_t{value.time_since_epoch().count()}; }
  template <class Tag>
  static Parameter parameter(const Id<Tag>& value) {
    return std::string_view(value.value);
  }
  template <class Enum>
  requires std::is_enum_v<Enum>
  static Parameter parameter(Enum value) { return static_cast<std::int64_t>(value); }
  template <class T>
  static Parameter parameter(const std::optional<T>& value) {
    return value ? parameter(*value) : Parameter();
  }

  template <class T>
  T reported(T result) {
    if (result) report_success();
    return result;
  }
  void report_success();
  Error told();  // the failure, once the one who watches has heard of it and its details
  static void pause(int attempt);

  std::string name_;
  std::chrono::milliseconds patience_;
  std::optional<Error> error_;
  std::string details_;
  bool collided_ = false;
  std::function<void(const Status&)> health_;
  std::string told_;  // the message of the latest failure; empty while all is well
};

}  // namespace cortensor::ledger
