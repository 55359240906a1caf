// What a terminal may be sent beside plain text.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <string_view>

namespace cortensor::app {

// Escape sequences: to a terminal that says what it is, and is not dumb.
inline bool takes_escapes(int file) {
  const char* name = std::getenv("TERM");
  const std::string_view kind = name == nullptr ? "" : name;
  return ::isatty(file) == 1 && !kind.empty() && kind != "dumb";
}

// Colours and bold type: unless the user has set NO_COLOR, to whatever but the empty text.
inline bool takes_colours(int file) {
  const char* refusal = std::getenv("NO_COLOR");
  return takes_escapes(file) && (refusal == nullptr || *refusal == '\0');
}

}  // namespace cortensor::app
