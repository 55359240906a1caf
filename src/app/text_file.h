// A file that an option names, as text.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <string>

#include "base/result.h"

namespace cortensor::app {

// Anything that can be read to its end, a pipe too, of at most so many bytes.
inline Result<std::string> read_text_file(const std::string& path,
                                          std::size_t most = std::numeric_limits<std::size_t>::max()) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  std::string text;
  std::array<char, 1 << 16> piece;
  ssize_t got = file;
  while (got >= 0 && text.size() <= most) {
    got = ::read(file, piece.data(), piece.size());
    if (got == 0) break;
    if (got > 0) text.append(piece.data(), static_cast<std::size_t>(got));
  }
  const int error = errno;
  if (file >= 0) ::close(file);
  if (got < 0) return fail(ErrorKind::not_found, path + ": cannot be read: " + std::strerror(error));
  if (text.size() > most)
    return fail(ErrorKind::invalid_input, path + ": larger than " + std::to_string(most >> 20) + " MiB");
  return text;
}

}  // namespace cortensor::app
