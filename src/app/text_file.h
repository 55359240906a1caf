// A file that an option names, as text.
#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "base/result.h"

namespace cortensor::app {

inline Result<std::string> read_text_file(const std::string& path) {
  std::error_code none;
  std::ifstream in(path, std::ios::binary);
  if (!in || std::filesystem::is_directory(path, none))
    return fail(ErrorKind::not_found, path + ": can't be read");
  return std::string(std::istreambuf_iterator<char>(in), {});
}

}  // namespace cortensor::app
