#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace cortensor {

Result<MappedFile> MappedFile::open(const std::string& path) {
  const int descriptor =
      ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe is refused, not waited for
  if (descriptor < 0)
    return fail(errno == ENOENT ? ErrorKind::not_found : ErrorKind::unavailable,
                path + ": " + std::strerror(errno));
  struct stat status {};
  void* address = MAP_FAILED;
  const bool regular = ::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
  const auto size = static_cast<std::size_t>(status.st_size);
  if (regular && size > 0) address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
  const int map_error = errno;
  ::close(descriptor);
  if (!regular) return fail(ErrorKind::invalid_input, path + ": not a regular file");
  if (size == 0) return fail(ErrorKind::corrupt, path + ": the file is empty");
  if (address == MAP_FAILED) return fail(ErrorKind::unavailable, path + ": " + std::strerror(map_error));
  return MappedFile({static_cast<const std::uint8_t*>(address), size});
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

void MappedFile::release(ByteView part) const {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const auto offset = static_cast<std::size_t>(part.data() - bytes_.data());
  const std::size_t begin = (offset + page - 1) / page * page;
  const std::size_t end =
      offset + part.size() == bytes_.size() ? bytes_.size() : (offset + part.size()) / page * page;
  if (begin < end)
    ::madvise(const_cast<std::uint8_t*>(bytes_.data()) + begin, end - begin, MADV_DONTNEED);  // only advice
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::uint8_t*>(bytes_.data()), bytes_.size());
}

}  // namespace cortensor
