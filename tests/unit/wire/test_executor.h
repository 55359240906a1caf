// One thread, real time: what a role's executor is, without a network library.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "base/runtime/executor.h"

namespace cortensor {

class TestExecutor final : public Executor {
 public:
  TestExecutor() : thread_([this] { run(); }) {}
  ~TestExecutor() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      changed_.notify_all();
    }
    thread_.join();
  }

  void post(std::function<void()> work) override { at(Clock::time_point::min(), std::move(work)); }
  void at(Clock::time_point when, std::function<void()> work) override {
    const std::lock_guard lock(mutex_);
    work_.emplace(when, std::move(work));  // equal times keep the order in which they came
    changed_.notify_all();
  }
  Clock::time_point now() const override { return Clock::now(); }
  WallTime wall_now() const override {
    return std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
  }

  // Runs the work on the executor and waits for it.
  template <class Work>
  void call(Work work) {
    bool done = false;
    post([&] {
      work();
      const std::lock_guard lock(mutex_);
      done = true;
      changed_.notify_all();
    });
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return done; });
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      if (work_.empty()) {
        changed_.wait(lock);
      } else if (const auto when = work_.begin()->first; when > Clock::now()) {
        changed_.wait_until(lock, when);
      } else {
        auto work = std::move(work_.begin()->second);
        work_.erase(work_.begin());
        lock.unlock();
        work();
        work = nullptr;  // what it holds is let go without the lock
        lock.lock();
      }
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::multimap<Clock::time_point, std::function<void()>> work_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace cortensor
