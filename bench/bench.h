// What the engine's benchmarks share: the clock and the command line.
#pragma once

#include <time.h>

#include <charconv>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace cortensor::bench {

// Processor time of the calling thread instead of time: for one thread on a machine with other work.
inline bool g_cpu_clock = false;

// Seconds.
inline double now() {
  timespec t{};
  ::clock_gettime(g_cpu_clock ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// A number from 1; false for anything else.
inline bool read_number(std::string_view text, std::size_t& out) {
  const auto read = std::from_chars(text.data(), text.data() + text.size(), out);
  return read.ec == std::errc{} && read.ptr == text.data() + text.size() && out > 0;
}

// "--name VALUE" on the command line; `read` is false for a value that it does not take.
struct Flag {
  std::string_view name, value;
  std::function<bool(const std::string&)> read;
};

inline Flag flag(std::string_view name, std::size_t& out) {
  return {name, "N", [&out](const std::string& text) { return read_number(text, out); }};
}
inline Flag flag(std::string_view name, std::string_view value, std::string& out) {
  return {name, value, [&out](const std::string& text) { return out = text, true; }};
}
// Parts between commas, each of which `read` takes.
template <class Part, class Read>
Flag list_flag(std::string_view name, std::string_view value, std::vector<Part>& out, Read read) {
  return {name, value, [&out, read](const std::string& text) {
            out.clear();
            std::istringstream in(text);
            for (std::string part; std::getline(in, part, ',');)
              if (!read(part, out.emplace_back())) return false;
            return !out.empty();
          }};
}
inline Flag flag(std::string_view name, std::vector<std::size_t>& out) {
  return list_flag(name, "N,…", out, read_number);
}
template <class Known>
Flag flag(std::string_view name, std::string_view value, std::vector<std::string>& out, Known known) {
  return list_flag(name, value, out,
                   [known](const std::string& part, std::string& kept) { return kept = part, known(part); });
}
inline Flag clock_flag() {
  return {"--clock", "wall|cpu", [](const std::string& text) {
            g_cpu_clock = text == "cpu";
            return g_cpu_clock || text == "wall";
          }};
}

// Reads pairs of flag and value. Anything else ends the program: --help with the usage and 0, the rest with
// the usage and 2.
inline void read_flags(int argc, char** argv, const std::vector<Flag>& flags) {
  for (int i = 1; i < argc; i += 2) {
    const std::string_view name = argv[i];
    bool taken = false;
    for (const Flag& flag : flags) taken |= flag.name == name && i + 1 < argc && flag.read(argv[i + 1]);
    if (taken) continue;
    const bool help = name == "--help";
    std::FILE* out = help ? stdout : stderr;
    if (!help) std::fprintf(out, "not understood: %s %s\n", argv[i], i + 1 < argc ? argv[i + 1] : "");
    std::fprintf(out, "usage: %s", argv[0]);
    for (const Flag& flag : flags)
      std::fprintf(out, " [%s %s]", std::string(flag.name).c_str(), std::string(flag.value).c_str());
    std::fprintf(out, "\n");
    std::exit(help ? 0 : 2);
  }
}

}  // namespace cortensor::bench
