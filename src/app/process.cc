#include "app/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

namespace cortensor::app {
namespace {

int code_of(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

Result<Process> Process::start(const std::string& name, const std::vector<std::string>& arguments,
                               const std::string& log_path, const std::vector<std::string>& environment) {
  int log = -1;
  if (!log_path.empty()) {
    log = ::open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0) return fail(ErrorKind::unavailable, "log file " + log_path + ": " + std::strerror(errno));
  }
  // Everything the child needs is made before the fork: afterwards only system calls are allowed.
  std::vector<char*> argv{const_cast<char*>("cortensor")};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  std::vector<char*> envp;  // the added ones first: of two with the same name that one counts
  for (const std::string& entry : environment) envp.push_back(const_cast<char*>(entry.c_str()));
  for (char** entry = environ; *entry != nullptr; ++entry) envp.push_back(*entry);
  envp.push_back(nullptr);
  const pid_t parent = ::getpid();

  const pid_t pid = ::fork();
  if (pid == 0) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) ::_exit(1);  // the parent died before the line above
    if (log >= 0) {
      ::dup2(log, STDOUT_FILENO);
      ::dup2(log, STDERR_FILENO);
    }
    ::execve("/proc/self/exe", argv.data(), envp.data());
    ::_exit(127);
  }
  if (log >= 0) ::close(log);
  if (pid < 0) return fail(ErrorKind::unavailable, "cannot start " + name + ": " + std::strerror(errno));
  Process process;
  process.name_ = name;
  process.pid_ = pid;
  return process;
}

std::optional<int> Process::exit_code() {
  int status = 0;
  if (!exit_code_ && ::waitpid(pid_, &status, WNOHANG) == pid_) exit_code_ = code_of(status);
  return exit_code_;
}

int Process::wait() {
  int status = 0;
  while (!exit_code_) {
    if (::waitpid(pid_, &status, 0) == pid_)
      exit_code_ = code_of(status);
    else if (errno != EINTR)
      exit_code_ = 127;
  }
  return *exit_code_;
}

void Process::end(std::chrono::milliseconds patience) {
  if (exit_code()) return;
  ::kill(pid_, SIGTERM);
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!exit_code() && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  if (exit_code()) return;
  ::kill(pid_, SIGKILL);
  wait();
}

}  // namespace cortensor::app
