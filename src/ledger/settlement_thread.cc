#include "ledger/settlement_thread.h"

#include <iterator>
#include <utility>

namespace cortensor::ledger {
namespace {

// The store failed, so all statuses are alike.
bool unavailable(const std::vector<Status>& statuses) {
  return !statuses.empty() && !statuses.front() && statuses.front().error().kind == ErrorKind::unavailable;
}

}  // namespace

SettlementThread::SettlementThread(std::unique_ptr<Ledger> ledger, Executor& executor, SettlementRetry retry)
    : ledger_(std::move(ledger)),
      executor_(executor),
      retry_(retry),
      thread_([this](std::stop_token stop) { work(stop); }) {}

SettlementThread::~SettlementThread() = default;

void SettlementThread::settle(std::vector<Settlement> settlements, WallTime now,
                              std::function<void(const Status&)> done) {
  {
    const std::lock_guard lock(mutex_);
    orders_.push_back({std::move(settlements), now, std::move(done)});
  }
  wake_.notify_one();
}

void SettlementThread::work(std::stop_token stop) {
  for (;;) {
    std::vector<Order> orders;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, stop, [this] { return !orders_.empty(); });
      if (orders_.empty()) return;  // stopped, and nothing is left to book
      orders.swap(orders_);
    }
    book(std::move(orders));
  }
}

void SettlementThread::book(std::vector<Order> orders) {
  std::vector<Settlement> all;
  for (Order& order : orders)
    all.insert(all.end(), std::make_move_iterator(order.settlements.begin()),
               std::make_move_iterator(order.settlements.end()));
  std::size_t counted = 0;
  std::vector<std::size_t> ends;
  for (const Order& order : orders) ends.push_back(counted += order.settlements.size());

  // A full disk or another process's lock may pass; what miners have earned is not given up for it at once.
  // When the store failed nothing was booked, so booking again is safe.
  std::vector<Status> statuses = ledger_->settle_tasks(all, orders.back().now);
  const auto deadline = std::chrono::steady_clock::now() + retry_.patience;
  while (unavailable(statuses) && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(retry_.pause);
    statuses = ledger_->settle_tasks(all, orders.back().now);
  }
  std::size_t at = 0;
  for (std::size_t i = 0; i < orders.size(); ++i) {
    Status first = ok();
    for (; at < ends[i]; ++at)
      if (!statuses[at] && first) first = statuses[at];
    executor_.post([done = std::move(orders[i].done), first] { done(first); });
  }
}

}  // namespace cortensor::ledger
