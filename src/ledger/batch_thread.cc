#include "ledger/batch_thread.h"

namespace cortensor::ledger {

BatchThread::BatchThread(std::unique_ptr<BatchStore> store, Executor& executor)
    : store_(std::move(store)), executor_(executor), thread_([this](std::stop_token stop) { loop(stop); }) {}

BatchThread::~BatchThread() = default;

void BatchThread::add(std::function<void(BatchStore&)> work) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(work));
  }
  wake_.notify_one();
}

void BatchThread::loop(std::stop_token stop) {
  for (;;) {
    std::function<void(BatchStore&)> work;
    {
      std::unique_lock lock(mutex_);
      if (!wake_.wait(lock, stop, [this] { return !waiting_.empty(); }) || stop.stop_requested()) return;
      work = std::move(waiting_.front());
      waiting_.pop_front();
    }
    work(*store_);
  }
}

}  // namespace cortensor::ledger
