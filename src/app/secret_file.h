// Secrets on disk: one line in a file that its owner alone can read.
#pragma once

#include <string>

#include "base/result.h"

namespace cortensor::app {

// Says on standard error, once for each file, that others than its owner and group can get at it.
void warn_if_exposed(const std::string& path);

// The first line, with that warning; an error when the file cannot be read or the line is empty.
Result<std::string> first_line(const std::string& path);

// Makes or replaces the file, readable by its owner alone.
Status write_secret(const std::string& path, const std::string& secret);

}  // namespace cortensor::app
