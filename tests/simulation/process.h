// A process of the simulation: an executor on the common timeline whose clocks go wrong in their own way, and
// whose pending work dies with it.
#pragma once

#include <memory>
#include <utility>

#include "tests/unit/support/manual_executor.h"

namespace cortensor::simulation {

struct Clocks {
  std::chrono::seconds epoch{0};       // a steady clock begins anywhere
  std::int64_t drift_ppm = 0;          // faster than true time by so many millionths
  std::chrono::milliseconds wrong{0};  // what the wall clock shows beyond true time
  bool wall_stands = false;            // a planted bug
};

class Process final : public Executor {
 public:
  Process(ManualExecutor& timeline, const Clocks& clocks)
      : timeline_(timeline), clocks_(clocks), wall_at_start_(timeline.wall_now()) {}
  ~Process() override { *alive_ = false; }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void post(std::function<void()> work) override { timeline_.post(guarded(std::move(work))); }
  void at(Clock::time_point when, std::function<void()> work) override {
    timeline_.at(true_time(when), guarded(std::move(work)));
  }
  Clock::time_point now() const override { return local_time(timeline_.now()); }
  WallTime wall_now() const override {
    return clocks_.wall_stands ? wall_at_start_ : timeline_.wall_now() + clocks_.wrong;
  }

  void after(Clock::duration time, std::function<void()> work) { at(now() + time, std::move(work)); }
  void set_wall(std::chrono::milliseconds wrong) { clocks_.wrong = wrong; }

 private:
  static constexpr std::int64_t kMillion = 1'000'000;

  std::function<void()> guarded(std::function<void()> work) const {
    return [alive = alive_, work = std::move(work)] {
      if (*alive) work();
    };
  }
  Clock::time_point local_time(Clock::time_point t) const {
    return t + clocks_.epoch + t.time_since_epoch() / kMillion * clocks_.drift_ppm;
  }
  // The first moment at which the local clock shows `local`.
  Clock::time_point true_time(Clock::time_point local) const {
    const Clock::duration since = local.time_since_epoch() - clocks_.epoch;
    Clock::time_point t{since / (kMillion + clocks_.drift_ppm) * kMillion};
    while (local_time(t) < local) t += local - local_time(t);
    return t;
  }

  ManualExecutor& timeline_;
  Clocks clocks_;
  const WallTime wall_at_start_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace cortensor::simulation
