// An executor whose clock stands still until a test moves it.
#pragma once

#include <deque>
#include <map>

#include "base/runtime/executor.h"

namespace cortensor::router {

class ManualExecutor final : public Executor {
 public:
  void post(std::function<void()> work) override { posted_.push_back(std::move(work)); }
  void at(Clock::time_point when, std::function<void()> work) override {
    timers_.emplace(when, std::move(work));
  }
  Clock::time_point now() const override { return now_; }
  WallTime wall_now() const override {
    return WallTime{std::chrono::milliseconds(1'800'000'000'000)} +
           std::chrono::duration_cast<std::chrono::milliseconds>(now_.time_since_epoch());
  }

  // Everything posted, and what that posts.
  void run() {
    while (!posted_.empty()) {
      auto work = std::move(posted_.front());
      posted_.pop_front();
      work();
    }
  }
  void advance(Clock::duration by) {
    const Clock::time_point end = now_ + by;
    run();
    while (!timers_.empty() && timers_.begin()->first <= end) {
      now_ = std::max(now_, timers_.begin()->first);
      auto work = std::move(timers_.begin()->second);
      timers_.erase(timers_.begin());
      work();
      run();
    }
    now_ = end;
  }

 private:
  Clock::time_point now_{std::chrono::hours(1)};
  std::deque<std::function<void()>> posted_;
  std::multimap<Clock::time_point, std::function<void()>> timers_;
};

}  // namespace cortensor::router
