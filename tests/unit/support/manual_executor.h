// An executor for tests: runs what was posted when told to, on a clock moved by hand. Posting is thread-safe.
// Simulations have many processes on one of them.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <mutex>

#include "base/runtime/executor.h"

namespace cortensor {

class ManualExecutor final : public Executor {
 public:
  void post(std::function<void()> work) override {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(work));
  }
  void at(Clock::time_point when, std::function<void()> work) override {
    const std::lock_guard lock(mutex_);
    timers_.emplace(when, std::move(work));
  }
  Clock::time_point now() const override { return now_; }
  WallTime wall_now() const override {
    return WallTime(std::chrono::milliseconds(1'800'000'000'000)) +
           std::chrono::duration_cast<std::chrono::milliseconds>(now_.time_since_epoch());
  }

  // Runs everything posted, also what that posts.
  void run() {
    while (auto work = next()) work();
  }

  // Moves the clock and runs the timers that are due, in order.
  void advance(Clock::duration time) {
    const auto until = now_ + time;
    run();
    while (auto work = next_timer(until)) {
      work();
      run();
    }
    now_ = until;
  }

 private:
  std::function<void()> next() {
    const std::lock_guard lock(mutex_);
    if (posted_.empty()) return {};
    auto work = std::move(posted_.front());
    posted_.pop_front();
    return work;
  }
  std::function<void()> next_timer(Clock::time_point until) {
    const std::lock_guard lock(mutex_);
    if (timers_.empty() || timers_.begin()->first > until) return {};
    auto first = timers_.begin();
    now_ = std::max(now_, first->first);
    auto work = std::move(first->second);
    timers_.erase(first);
    return work;
  }

  std::mutex mutex_;
  std::deque<std::function<void()>> posted_;
  std::multimap<Clock::time_point, std::function<void()>> timers_;
  Clock::time_point now_{std::chrono::hours(1)};
};

}  // namespace cortensor
