#include "engine/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

namespace cortensor::engine {

Result<OutputFile> OutputFile::create(const std::string& path, std::span<const std::string> inputs) {
  if (path.empty()) return fail(ErrorKind::invalid_input, "expected the name of a file to write, found ''");
  std::error_code missing;
  for (const std::string& input : inputs)
    if (std::filesystem::equivalent(path, input, missing))
      return fail(ErrorKind::invalid_input, path + ": is an input file, " + input);
  struct stat existing {};
  if (::stat(path.c_str(), &existing) == 0 && !S_ISREG(existing.st_mode))
    return fail(ErrorKind::invalid_input, path + ": expected a new or a regular file");
  std::string temporary = path + ".part-XXXXXX";
  const int descriptor = ::mkostemp(temporary.data(), O_CLOEXEC);
  if (descriptor < 0) return fail(ErrorKind::unavailable, path + ": " + std::strerror(errno));
  ::fchmod(descriptor, 0644);
  return OutputFile(path, std::move(temporary), descriptor);
}

OutputFile OutputFile::onto(int descriptor) {
  return OutputFile("file " + std::to_string(descriptor), {}, descriptor);
}

OutputFile::OutputFile(std::string path, std::string temporary, int descriptor)
    : path_(std::move(path)), temporary_(std::move(temporary)), descriptor_(descriptor) {}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::move(other.temporary_)),
      descriptor_(std::exchange(other.descriptor_, -1)) {}

OutputFile::~OutputFile() {
  abandon();
}

Status OutputFile::write(ByteView bytes) {
  if (descriptor_ < 0) return fail(ErrorKind::internal, path_ + ": already closed");
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return give_up("writing");
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return ok();
}

Status OutputFile::commit() {
  if (descriptor_ < 0) return fail(ErrorKind::internal, path_ + ": already closed");
  if (temporary_.empty()) {
    descriptor_ = -1;
    return ok();
  }
  if (::fsync(descriptor_) != 0) return give_up("syncing");
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) return give_up("renaming");
  if (::close(std::exchange(descriptor_, -1)) != 0)
    return fail(ErrorKind::unavailable, "closing " + path_ + ": " + std::strerror(errno));
  return ok();
}

Error OutputFile::give_up(std::string_view doing) {
  Error error = fail(ErrorKind::unavailable, std::string(doing) + " " + path_ + ": " + std::strerror(errno));
  abandon();
  return error;
}

void OutputFile::abandon() {
  if (descriptor_ < 0 || temporary_.empty()) return;
  ::close(std::exchange(descriptor_, -1));
  ::unlink(temporary_.c_str());
}

}  // namespace cortensor::engine
