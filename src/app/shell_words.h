// Commands that are printed for a person to paste into a shell.
#pragma once

#include <algorithm>
#include <cerrno>
#include <string>
#include <string_view>

namespace cortensor::app {

// The text as one word of a POSIX shell: quoted only when it must be.
inline std::string shell_word(std::string_view text) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-_./:=@,+%").find(c) != std::string_view::npos;
  };
  if (!text.empty() && std::all_of(text.begin(), text.end(), plain)) return std::string(text);
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

// This program as the user called it.
inline std::string this_program() {
  return shell_word(program_invocation_name);
}

}  // namespace cortensor::app
