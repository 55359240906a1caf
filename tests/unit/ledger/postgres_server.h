// A PostgreSQL server of the tests' own: in a temporary folder, on a Unix socket, as an unprivileged user; it
// ends with the program. One for all tests of a program, each with a database of its own.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>

struct pg_conn;

namespace cortensor::ledger::testing {

class PostgresServer {
 public:
  // Null where Debian's server is not installed.
  static PostgresServer* shared();

  ~PostgresServer();
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  std::string url(const std::string& database) const;
  std::string new_database();  // its URL

  void kill();                   // at once, without a word to anybody
  void start();                  // returns when it answers
  void stand_still(bool still);  // it and its processes are stopped, or go on

 private:
  PostgresServer();

  std::filesystem::path folder_;
  pid_t server_ = 0;
  int databases_ = 0;
};

// The first column of the first row that `sql` yields, around the program; else what the server complains of.
std::string execute_in_postgres(const std::string& url, const std::string& sql);

// A transaction that has run `sql` and stays open as long as the object lives.
class HeldLock {
 public:
  HeldLock(const std::string& url, const std::string& sql);
  ~HeldLock();
  HeldLock(const HeldLock&) = delete;
  HeldLock& operator=(const HeldLock&) = delete;

 private:
  pg_conn* connection_;
};

}  // namespace cortensor::ledger::testing
