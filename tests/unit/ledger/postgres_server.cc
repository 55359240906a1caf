#include "postgres_server.h"

#include <fcntl.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <thread>
#include <vector>

namespace cortensor::ledger::testing {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPrograms = "/usr/lib/postgresql/15/bin";

// The server refuses to run as root.
const passwd* unprivileged() {
  return ::geteuid() == 0 ? ::getpwnam("postgres") : nullptr;
}

pid_t run(const std::vector<std::string>& words, const fs::path& log) {
  const passwd* user = unprivileged();
  const pid_t parent = ::getpid(), child = ::fork();
  if (child != 0) return child;
  if (user && (::setgid(user->pw_gid) != 0 || ::setuid(user->pw_uid) != 0)) ::_exit(1);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  const int output = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(output, STDERR_FILENO);
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  ::execv(arguments[0], arguments.data());
  ::_exit(1);
}

[[noreturn]] void give_up(const std::string& what) {
  std::cerr << what << "\n";
  std::abort();
}

}  // namespace

PostgresServer* PostgresServer::shared() {
  static const bool installed = fs::exists(std::string(kPrograms) + "/postgres");
  if (!installed) return nullptr;
  static PostgresServer server;
  return &server;
}

PostgresServer::PostgresServer() {
  std::string pattern = (fs::temp_directory_path() / "postgres_test_XXXXXX").string();
  folder_ = ::mkdtemp(pattern.data());
  if (const passwd* user = unprivileged())
    if (::chown(folder_.c_str(), user->pw_uid, user->pw_gid) != 0) give_up("cannot give the folder away");
  // A locale that sorts otherwise than by bytes, as most have.
  const pid_t maker =
      run({std::string(kPrograms) + "/initdb", "-D", folder_ / "data", "-A", "trust", "-U", "postgres", "-E",
           "UTF8", "--no-sync", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"},
          folder_ / "initdb.log");
  int status = 0;
  if (::waitpid(maker, &status, 0) != maker || status != 0) give_up("initdb failed");
  start();
}

PostgresServer::~PostgresServer() {
  kill();
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

void PostgresServer::kill() {
  ::kill(server_, SIGKILL);
  ::waitpid(server_, nullptr, 0);
}

void PostgresServer::stand_still(bool still) {
  const std::string pid = std::to_string(server_);
  std::ifstream children("/proc/" + pid + "/task/" + pid + "/children");
  std::vector<pid_t> all{server_};
  for (pid_t child = 0; children >> child;) all.push_back(child);
  for (const pid_t one : all) ::kill(one, still ? SIGSTOP : SIGCONT);
}

void PostgresServer::start() {
  // What these tests lose is a process, not the power: nothing is synced.
  const auto launch = [&] {
    return run({std::string(kPrograms) + "/postgres", "-D", folder_ / "data", "-k", folder_, "-h", "", "-F",
                "-c", "full_page_writes=off", "-c", "shared_buffers=16MB", "-c", "max_connections=40"},
               folder_ / "server.log");
  };
  server_ = launch();
  for (int i = 0; PQping(url("postgres").c_str()) != PQPING_OK; ++i) {
    if (i == 6000) give_up("the server does not answer");
    // Right after a kill the former one's processes may still be there, and it refuses to start.
    if (::waitpid(server_, nullptr, WNOHANG) == server_) server_ = launch();
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

std::string PostgresServer::url(const std::string& database) const {
  return "postgresql://postgres@/" + database + "?host=" + folder_.string();
}

std::string PostgresServer::new_database() {
  const std::string name = "test_" + std::to_string(++databases_);
  if (const std::string wrong = execute_in_postgres(url("postgres"), "CREATE DATABASE " + name);
      !wrong.empty())
    give_up(wrong);
  return url(name);
}

std::string execute_in_postgres(const std::string& url, const std::string& sql) {
  PGconn* connection = PQconnectdb(url.c_str());
  PGresult* result = PQexec(connection, sql.c_str());
  std::string found = PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : PQresultErrorMessage(result);
  PQclear(result);
  PQfinish(connection);
  return found;
}

HeldLock::HeldLock(const std::string& url, const std::string& sql) : connection_(PQconnectdb(url.c_str())) {
  PGresult* result = PQexec(connection_, ("BEGIN;" + sql).c_str());
  if (PQresultStatus(result) != PGRES_COMMAND_OK) give_up(PQresultErrorMessage(result));
  PQclear(result);
}

HeldLock::~HeldLock() {
  PQfinish(connection_);
}

}  // namespace cortensor::ledger::testing
