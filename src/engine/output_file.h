// A file that appears under its name complete or not at all. Until then it has no name, so that nothing is
// left of a process that is killed; where the file system knows no such files, it is written beside its place
// and removed when abandoned. It replaces an existing file and keeps its mode; a link stays and leads to the
// new one.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace cortensor::engine {

class OutputFile {
 public:
  // Refused at once: a path that cannot be written, or that is one of `inputs` by whatever name.
  static Result<OutputFile> create(const std::string& path, std::span<const std::string> inputs = {});
  // What is written goes to an open file of the caller's, who keeps it: memory, say.
  static OutputFile onto(int descriptor);
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&&) = delete;
  ~OutputFile();

  // An error (a full disk, say) abandons the file.
  Status write(ByteView bytes);
  // To the disk and under its name.
  Status commit();

 private:
  OutputFile(std::string path, std::string temporary, bool named, int descriptor);
  void abandon();
  Error give_up(std::string_view doing);  // with errno's reason

  std::string path_;       // no link
  std::string temporary_;  // its last name but one, beside it; empty: the file is the caller's
  bool named_ = false;     // so by now
  int descriptor_ = -1;
};

}  // namespace cortensor::engine
