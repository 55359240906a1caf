#include "app/secret_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <set>

namespace cortensor::app {

void warn_if_exposed(const std::string& path) {
  static std::set<std::string> told;
  struct stat file {};
  if (::stat(path.c_str(), &file) != 0 || !S_ISREG(file.st_mode) || (file.st_mode & S_IRWXO) == 0) return;
  if (told.insert(path).second)
    std::fprintf(stderr,
                 "cortensor: warning: %s: every user of this machine can read or change it; chmod 600 it\n",
                 path.c_str());
}

Result<std::string> first_line(const std::string& path) {
  warn_if_exposed(path);
  std::ifstream file(path);
  std::string line;
  if (!file || !std::getline(file, line))
    return fail(ErrorKind::not_found, path + ": cannot be read or is empty");
  if (line.ends_with('\r')) line.pop_back();
  if (line.empty()) return fail(ErrorKind::invalid_input, path + ": its first line is empty");
  return line;
}

Status write_secret(const std::string& path, const std::string& secret) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  const std::string line = secret + "\n";
  const bool written = file >= 0 && ::fchmod(file, 0600) == 0 &&
                       ::write(file, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  const int error = errno;
  if (file >= 0) ::close(file);
  if (!written) return fail(ErrorKind::unavailable, path + ": " + std::strerror(error));
  return ok();
}

}  // namespace cortensor::app
