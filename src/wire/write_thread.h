// Starts the writes of the router's links. Encrypting a frame and handing it to the kernel takes longer than
// deciding what to send, so the executor leaves it to this thread.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace cortensor::wire {

class ServerLink;

class WriteThread {
 public:
  WriteThread();
  void write(std::shared_ptr<ServerLink> link);  // soon, what is in its outbox

 private:
  void work(std::stop_token stop);

  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::vector<std::shared_ptr<ServerLink>> links_;  // guarded by mutex_
  std::jthread thread_;                             // last: it uses all of the above
};

}  // namespace cortensor::wire
