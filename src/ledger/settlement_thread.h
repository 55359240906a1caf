// Books settlements on a thread of its own, with its own connection to the store. Whatever has gathered while
// the disk was busy goes into one transaction.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "base/runtime/executor.h"
#include "ledger/settler.h"

namespace cortensor::ledger {

// How long an unavailable store is asked again, and how often.
struct SettlementRetry {
  std::chrono::milliseconds patience{30'000};
  std::chrono::milliseconds pause{250};
};

class SettlementThread final : public Settler {
 public:
  // `ledger` is used by this thread alone. The executor outlives the object.
  SettlementThread(std::unique_ptr<Ledger> ledger, Executor& executor, SettlementRetry retry = {});
  ~SettlementThread() override;  // books what was handed over first

  void settle(std::vector<Settlement> settlements, WallTime now,
              std::function<void(const Status&)> done) override;

 private:
  struct Order {
    std::vector<Settlement> settlements;
    WallTime now;
    std::function<void(const Status&)> done;
  };
  void work(std::stop_token stop);
  void book(std::vector<Order> orders);

  std::unique_ptr<Ledger> ledger_;
  Executor& executor_;
  const SettlementRetry retry_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::vector<Order> orders_;  // guarded by mutex_
  std::jthread thread_;        // last: it uses all of the above
};

}  // namespace cortensor::ledger
