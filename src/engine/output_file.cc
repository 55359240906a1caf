#include "engine/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "crypto/random.h"

namespace cortensor::engine {
namespace {

namespace fs = std::filesystem;

// Where links lead, also to a place where there is no file yet; a circle of them is left to the system to
// refuse.
fs::path end_of_links(fs::path path) {
  std::error_code none;
  for (int links = 0; links < 40 && fs::is_symlink(path, none); ++links)
    path = path.parent_path() / fs::read_symlink(path, none);
  return path;
}

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : ".";
}

std::string open_file(int descriptor) {
  return "/proc/self/fd/" + std::to_string(descriptor);
}

// A file without a name that can get one later; -1 when the system cannot do that.
int open_nameless(const fs::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
  if (descriptor < 0 || ::access(open_file(descriptor).c_str(), F_OK) == 0) return descriptor;
  ::close(descriptor);
  return -1;
}

// So that a new name outlives a power failure; where a folder cannot be synced, that is left to the system.
bool sync_folder(const fs::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return true;
  const bool synced = ::fsync(descriptor) == 0 || errno == EINVAL;
  const int error = errno;
  ::close(descriptor);
  errno = error;
  return synced;
}

}  // namespace

Result<OutputFile> OutputFile::create(const std::string& path, std::span<const std::string> inputs) {
  if (path.empty()) return fail(ErrorKind::invalid_input, "expected the name of a file to write, found ''");
  std::error_code missing;
  for (const std::string& input : inputs)
    if (fs::equivalent(path, input, missing))
      return fail(ErrorKind::invalid_input, path + ": is an input file, " + input);
  const auto unavailable = [&] { return fail(ErrorKind::unavailable, path + ": " + std::strerror(errno)); };
  const fs::path target = end_of_links(path);
  struct stat existing {};
  const bool exists = ::stat(target.c_str(), &existing) == 0;
  if (!exists && errno != ENOENT) return unavailable();
  if (exists && !S_ISREG(existing.st_mode))
    return fail(ErrorKind::invalid_input, path + ": expected a new or a regular file");

  constexpr std::size_t kLongestName = 255 - 14;  // with what follows it
  const fs::path folder = folder_of(target);
  const fs::path temporary =
      folder / (target.filename().string().substr(0, kLongestName) + crypto::random_token(".part-", 8));
  int descriptor = open_nameless(folder);
  const bool named = descriptor < 0;
  if (named) descriptor = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor < 0) return unavailable();
  if (exists) ::fchmod(descriptor, existing.st_mode & 0777);
  return OutputFile(target.string(), temporary.string(), named, descriptor);
}

OutputFile OutputFile::onto(int descriptor) {
  return OutputFile("file " + std::to_string(descriptor), {}, false, descriptor);
}

OutputFile::OutputFile(std::string path, std::string temporary, bool named, int descriptor)
    : path_(std::move(path)), temporary_(std::move(temporary)), named_(named), descriptor_(descriptor) {}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::move(other.temporary_)),
      named_(other.named_),
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
  // A name that is taken can only be renamed to.
  if (!named_ && ::linkat(AT_FDCWD, open_file(descriptor_).c_str(), AT_FDCWD, temporary_.c_str(),
                          AT_SYMLINK_FOLLOW) != 0)
    return give_up("naming");
  named_ = true;
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) return give_up("renaming");
  if (::close(std::exchange(descriptor_, -1)) != 0)
    return fail(ErrorKind::unavailable, "closing " + path_ + ": " + std::strerror(errno));
  if (!sync_folder(folder_of(path_)))
    return fail(ErrorKind::unavailable, "syncing the folder of " + path_ + ": " + std::strerror(errno));
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
  if (named_) ::unlink(temporary_.c_str());
}

}  // namespace cortensor::engine
