#include "base/runtime/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <cfenv>
#include <cstdint>
#include <thread>
#include <vector>

#include "base/check.h"

namespace cortensor {

Range partition(std::size_t count, std::size_t grain, std::size_t index, std::size_t workers) {
  const std::size_t units = (count + grain - 1) / grain;
  const std::size_t begin = units * index / workers * grain, end = units * (index + 1) / workers * grain;
  return {std::min(begin, count), std::min(end, count)};
}

bool floating_point_environment_is_exact() {
  volatile float smallest_normal = 0x1p-126f;
  volatile float half = smallest_normal * 0.5f;  // flushed to zero under MXCSR.FTZ, FPCR.FZ
  volatile float restored = half * 2.0f;         // zero under MXCSR.DAZ, FPCR.FZ and FIZ
  return std::fegetround() == FE_TONEAREST && half != 0.0f && restored == smallest_normal;
}

// Leaves the core to its other thread for a moment.
static void pause_spinning() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb");  // waits, where "yield" mostly does nothing
#endif
}

struct ThreadPool::State {
  std::atomic<std::uint64_t> generation{0};  // odd bits unused; a new value starts a job
  std::atomic<std::size_t> pending{0};
  std::atomic<bool> stopping{false};
  const std::function<void(std::size_t)>* job = nullptr;
  std::vector<std::jthread> workers;

  void work(std::size_t index) {
    CORTENSOR_CHECK(floating_point_environment_is_exact());
    std::uint64_t seen = 0;
    for (;;) {
      // Forks come microseconds apart inside a forward pass: spin a little before sleeping in the kernel.
      for (int spin = 0; spin < 2000 && generation.load(std::memory_order_acquire) == seen; ++spin)
        pause_spinning();
      generation.wait(seen, std::memory_order_acquire);
      seen = generation.load(std::memory_order_acquire);
      if (stopping.load(std::memory_order_acquire)) return;
      (*job)(index);
      if (pending.fetch_sub(1, std::memory_order_acq_rel) == 1) pending.notify_one();
    }
  }
};

ThreadPool::ThreadPool(std::size_t threads) : state_(std::make_unique<State>()) {
  CORTENSOR_CHECK(threads >= 1);
  for (std::size_t index = 1; index < threads; ++index)
    state_->workers.emplace_back([state = state_.get(), index] { state->work(index); });
}

ThreadPool::~ThreadPool() {
  state_->stopping.store(true, std::memory_order_release);
  state_->generation.fetch_add(1, std::memory_order_release);
  state_->generation.notify_all();
}

std::size_t ThreadPool::threads() const {
  return state_->workers.size() + 1;
}

void ThreadPool::run(const std::function<void(std::size_t)>& job) {
  if (state_->workers.empty()) return job(0);
  state_->job = &job;
  state_->pending.store(state_->workers.size(), std::memory_order_relaxed);
  state_->generation.fetch_add(1, std::memory_order_release);
  state_->generation.notify_all();
  job(0);
  for (int spin = 0; spin < 2000 && state_->pending.load(std::memory_order_acquire) != 0; ++spin)
    pause_spinning();
  while (const std::size_t left = state_->pending.load(std::memory_order_acquire))
    state_->pending.wait(left, std::memory_order_acquire);
}

}  // namespace cortensor
