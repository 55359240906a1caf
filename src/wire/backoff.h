// How long to wait before dialing again: exponential with jitter, so that the nodes of a router that was away
// do not all return in the same moment.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace cortensor::wire {

class Backoff {
 public:
  struct Limits {
    std::chrono::milliseconds first{200};
    std::chrono::milliseconds most{30'000};
  };

  explicit Backoff(Limits limits) : limits_(limits), next_(limits.first) {}

  // Between half of the current step and all of it, by `random` (uniform over all u64); the step then
  // doubles.
  std::chrono::milliseconds next(std::uint64_t random) {
    const auto step = std::min(next_, limits_.most);
    next_ = std::min(step * 2, limits_.most);
    const auto half = step / 2;
    const auto spread = static_cast<std::uint64_t>((step - half).count()) + 1;
    return half + std::chrono::milliseconds(random % spread);
  }

  void reset() { next_ = limits_.first; }

 private:
  Limits limits_;
  std::chrono::milliseconds next_;
};

}  // namespace cortensor::wire
