// How long the router waits for work whose length it knows.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>

namespace cortensor::router {

// Of the time that `tokens` take at the speed a node has named: its slots share the machine, and long
// contexts are slower than the short one it has measured.
inline constexpr double kPatienceFactor = 8;
// Nobody holds a choice longer by naming a low speed.
inline constexpr std::chrono::milliseconds kMaxPatience{30 * 60'000};

// `least` covers what does not grow with the tokens. A speed of 0 or less: `least`.
inline std::chrono::milliseconds patience(std::size_t tokens, double tokens_per_second,
                                          std::chrono::milliseconds least) {
  if (!(tokens_per_second > 0)) return least;
  const double expected = kPatienceFactor * 1000 * static_cast<double>(tokens) / tokens_per_second;
  const auto most = std::max(least, kMaxPatience);
  return expected < static_cast<double>(most.count())
             ? std::max(least, std::chrono::milliseconds(static_cast<std::int64_t>(expected)))
             : most;
}

}  // namespace cortensor::router
