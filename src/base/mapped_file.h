// A regular file mapped read-only. It must not be changed or cut short by others while it is mapped.
#pragma once

#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace cortensor {

class MappedFile {
 public:
  // Never empty: an empty file is refused as corrupt.
  static Result<MappedFile> open(const std::string& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  ~MappedFile();

  ByteView bytes() const { return bytes_; }
  // Takes the whole pages of a part of bytes() out of this process's memory; a later read brings them back.
  void release(ByteView part) const;

 private:
  explicit MappedFile(ByteView bytes) : bytes_(bytes) {}
  ByteView bytes_;
};

}  // namespace cortensor
