#include "wire/write_thread.h"

#include <utility>

#include "wire/server_link.h"

namespace cortensor::wire {

WriteThread::WriteThread() : thread_([this](std::stop_token stop) { work(stop); }) {}

void WriteThread::write(std::shared_ptr<ServerLink> link) {
  {
    const std::lock_guard lock(mutex_);
    links_.push_back(std::move(link));
  }
  wake_.notify_one();
}

void WriteThread::work(std::stop_token stop) {
  for (;;) {
    std::vector<std::shared_ptr<ServerLink>> links;
    {
      std::unique_lock lock(mutex_);
      if (!wake_.wait(lock, stop, [this] { return !links_.empty(); })) return;
      links.swap(links_);
    }
    for (const auto& link : links) link->write();
  }
}

}  // namespace cortensor::wire
