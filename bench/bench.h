// What the engine's benchmarks share: the clock and the command line.
#pragma once

#include <time.h>

#include <cstddef>
#include <sstream>
#include <string>
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

// The parts between commas.
inline std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, ',');) parts.push_back(part);
  return parts;
}
inline std::vector<std::size_t> numbers(const std::string& text) {
  std::vector<std::size_t> parts;
  for (const std::string& part : split(text)) parts.push_back(std::stoul(part));
  return parts;
}

}  // namespace cortensor::bench
