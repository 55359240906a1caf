// Claims: the executor runs work on its one thread, in order, timers by time and then by order, and stops
// when told.
#include "http/asio_executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <thread>
#include <vector>

namespace cortensor::http {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;

TEST(AsioExecutor, RunsPostedWorkInOrderAndNeverInline) {
  AsioExecutor executor;
  std::vector<int> seen;
  executor.post([&] {
    executor.post([&] {
      seen.push_back(3);
      executor.stop();
    });
    seen.push_back(1);
  });
  executor.post([&] { seen.push_back(2); });
  EXPECT_TRUE(seen.empty());
  executor.run();
  EXPECT_THAT(seen, ElementsAre(1, 2, 3));
}

TEST(AsioExecutor, RunsTimersByTimeThenByOrder) {
  AsioExecutor executor;
  std::vector<int> seen;
  const auto now = executor.now();
  executor.at(now + milliseconds(30), [&] { executor.stop(); });
  executor.at(now + milliseconds(20), [&] {
    EXPECT_GE(executor.now(), now + milliseconds(20));
    seen.push_back(3);
  });
  executor.at(now + milliseconds(10), [&] { seen.push_back(1); });
  executor.at(now + milliseconds(10), [&] { seen.push_back(2); });
  executor.at(now - milliseconds(10), [&] { seen.push_back(0); });
  executor.run();
  EXPECT_THAT(seen, ElementsAre(0, 1, 2, 3));
}

TEST(AsioExecutor, TakesWorkFromOtherThreads) {
  AsioExecutor executor;
  int sum = 0;
  const auto add = [&] {
    if (++sum == 800) executor.stop();
  };
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) {
        executor.post(add);
        executor.at(executor.now(), add);
      }
    });
  }
  executor.run();
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(sum, 800);
}

TEST(AsioExecutor, RunsAgainAfterStop) {
  AsioExecutor executor;
  executor.stop();
  executor.run();
  int runs = 0;
  executor.post([&] {
    ++runs;
    executor.stop();
  });
  executor.run();
  EXPECT_EQ(runs, 1);
}

TEST(AsioExecutor, HandsSignalsToTheHandler) {
  AsioExecutor executor;
  std::vector<int> seen;
  executor.on_signal([&](int signal) {
    seen.push_back(signal);
    if (seen.size() == 2) return executor.stop();
    std::raise(SIGTERM);
  });
  executor.post([] { std::raise(SIGINT); });
  executor.run();
  EXPECT_THAT(seen, ElementsAre(SIGINT, SIGTERM));
}

}  // namespace
}  // namespace cortensor::http
