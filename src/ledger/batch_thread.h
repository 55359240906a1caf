// The batch store on a thread of its own, with its own connection: large files and many lines keep nobody
// waiting who asks for an answer.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "base/runtime/executor.h"
#include "ledger/batch_store.h"

namespace cortensor::ledger {

class BatchThread {
 public:
  // `store` is used by this thread alone. The executor outlives the object.
  BatchThread(std::unique_ptr<BatchStore> store, Executor& executor);
  ~BatchThread();  // what waits is let go

  // Calls work(store) on the thread, one after the other in the order given, and then done(its result) on the
  // executor.
  template <class Work, class Done>
  void run(Work work, Done done) {
    add([this, work = std::move(work), done = std::move(done)](BatchStore& store) mutable {
      executor_.post([done = std::move(done), result = work(store)]() mutable { done(std::move(result)); });
    });
  }
  // The same for what nobody waits for.
  void run(std::function<void(BatchStore&)> work) { add(std::move(work)); }

 private:
  void add(std::function<void(BatchStore&)> work);
  void loop(std::stop_token stop);

  std::unique_ptr<BatchStore> store_;
  Executor& executor_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::deque<std::function<void(BatchStore&)>> waiting_;  // guarded by mutex_
  std::jthread thread_;                                   // last: it uses all of the above
};

}  // namespace cortensor::ledger
