// Fixed workers: the caller's thread is worker 0, and run() is one fork and one join. Which worker computes
// an output never changes the output, so work may be divided as suits the machine.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace cortensor {

struct Range {
  std::size_t begin = 0;
  std::size_t end = 0;
};

// The part of [0, count) that worker `index` of `workers` takes, in multiples of `grain`.
Range partition(std::size_t count, std::size_t grain, std::size_t index, std::size_t workers);

class ThreadPool {
 public:
  // threads >= 1, the caller's included. Every worker asserts that subnormals are kept and rounding is to
  // nearest.
  explicit ThreadPool(std::size_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  std::size_t threads() const;

  // Calls job(worker) once per worker, worker in [0, threads()), and returns when all have. One caller at a
  // time.
  void run(const std::function<void(std::size_t worker)>& job);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// True when this thread keeps subnormals and rounds to nearest even, as the arithmetic demands.
bool floating_point_environment_is_exact();

}  // namespace cortensor
