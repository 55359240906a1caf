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
    mean_ = with(now - *since_);
    since_ = now;
    ++measurements_;
  }
  // Nobody waits any more.
  void rest() { since_.reset(); }

  std::size_t measurements() const { return measurements_; }
  // How long the line has stood still counts as the next measurement as soon as it is more than the mean.
  Clock::duration interval(Clock::time_point now) const {
    return since_ && now - *since_ > mean_ ? with(now - *since_) : mean_;
  }

 private:
  static constexpr std::size_t kWindow = 10;  // the plain mean of so many, then each new one weighs that part

  Clock::duration with(Clock::duration next) const {
    return mean_ + (next - mean_) / static_cast<Clock::rep>(std::min(measurements_ + 1, kWindow));
  }

  std::optional<Clock::time_point> since_;  // since when it has stood still; none: nobody waits
  Clock::duration mean_{};
  std::size_t measurements_ = 0;
};

}  // namespace cortensor::router
