// Child processes of this program: started with a log file, ended in order, never outliving their parent.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace cortensor::app {

class Process {
 public:
  // Runs this very program with the arguments. Output goes to the end of the log file, or to our own output
  // when the path is empty. The child is in a process group of its own, so Ctrl-C reaches only the parent.
  // `environment` ("NAME=value") is added to ours: unlike arguments, other users cannot read it.
  static Result<Process> start(const std::string& name, const std::vector<std::string>& arguments,
                               const std::string& log_path, const std::vector<std::string>& environment = {});

  const std::string& name() const { return name_; }
  pid_t pid() const { return pid_; }

  // The exit code once the process has ended (128 + signal when killed by one); none while it runs.
  std::optional<int> exit_code();
  int wait();
  // SIGTERM, then SIGKILL if it has not ended in time.
  void end(std::chrono::milliseconds patience);

 private:
  std::string name_;
  pid_t pid_ = -1;
  std::optional<int> exit_code_;
};

}  // namespace cortensor::app
