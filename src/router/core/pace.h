// How fast a line moves: the mean time between two that are served while others wait.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>

#include "base/runtime/executor.h"

namespace cortensor::router {

class Pace {
 public:
  // Somebody has to wait from now on.
  void stand(Clock::time_point now) {
    if (!since_) since_ = now;
  }
  // One of those that had to wait is served.
  void move(Clock::time_point now) {
    if (!since_) return;
    const double weight = std::max(kLeastWeight, 1.0 / static_cast<double>(++measurements_));
    mean_ += std::chrono::duration_cast<Clock::duration>((now - *since_ - mean_) * weight);
    since_ = now;
  }
  // Nobody waits any more.
  void rest() { since_.reset(); }

  bool measured() const { return measurements_ > 0; }
  // The mean, or how long the line has stood still if that is more.
  Clock::duration interval(Clock::time_point now) const {
    return since_ ? std::max(mean_, now - *since_) : mean_;
  }

 private:
  static constexpr double kLeastWeight = 0.1;  // of one more measurement; the first ones weigh alike

  std::optional<Clock::time_point> since_;  // since when it has stood still; none: nobody waits
  Clock::duration mean_{};
  std::size_t measurements_ = 0;
};

}  // namespace cortensor::router
