// Claims: every worker runs exactly once per fork, run() joins them all, and partitions tile the range; no
// more processors count than the process may use.
#include "base/runtime/thread_pool.h"
#include "base/runtime/machine.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <thread>
#include <vector>

namespace cortensor {
namespace {

TEST(Partition, TilesTheRangeInGrains) {
  for (const std::size_t count : {0u, 1u, 15u, 16u, 100u, 4096u}) {
    std::size_t next = 0;
    for (std::size_t index = 0; index < 3; ++index) {
      const Range part = partition(count, 16, index, 3);
      EXPECT_EQ(part.begin, next);
      EXPECT_TRUE(part.begin % 16 == 0 || part.begin == count);
      next = part.end;
    }
    EXPECT_EQ(next, count);
  }
}

TEST(ThreadPool, RunsEveryWorkerOncePerFork) {
  ThreadPool pool(3);
  std::vector<int> calls(3, 0);  // each worker touches its own element: a data race would be a bug of run()
  for (int fork = 0; fork < 2000; ++fork) pool.run([&](std::size_t worker) { ++calls[worker]; });
  EXPECT_EQ(calls, (std::vector<int>{2000, 2000, 2000}));
}

TEST(UsableProcessors, AreThoseOfTheAffinityMask) {
  std::size_t found = 0;
  std::thread([&] {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<std::size_t>(::sched_getcpu()), &one);
    ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
    found = usable_processors();
  }).join();
  EXPECT_EQ(found, 1u);
}

TEST(Machine, MemoryThatCanBeHadIsSomeOfAll) {
  EXPECT_GT(available_memory(), 0u);
  EXPECT_LT(available_memory(), usable_memory());
}

TEST(ThreadPool, KeepsTheExactFloatingPointEnvironment) {
  ThreadPool pool(2);
  std::atomic<int> exact{0};
  pool.run([&](std::size_t) { exact += floating_point_environment_is_exact(); });
  EXPECT_EQ(exact, 2);
}

// In a thread of its own: the setting dies with it.
TEST(ThreadPool, FindsThatAThreadFlushesSubnormals) {
  bool exact = true;
  std::thread([&] {
#if defined(__x86_64__)
    __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | 0x8000);  // MXCSR.FTZ
#elif defined(__aarch64__)
    __builtin_aarch64_set_fpcr(__builtin_aarch64_get_fpcr() | 1u << 24);  // FPCR.FZ
#endif
    exact = floating_point_environment_is_exact();
  }).join();
  EXPECT_FALSE(exact);
}

}  // namespace
}  // namespace cortensor
