#include "http/asio_executor.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <map>
#include <mutex>
#include <utility>

namespace cortensor::http {

namespace asio = boost::asio;

struct AsioExecutor::State {
  asio::io_context context{1};
  // Without work the context would stop by itself.
  asio::executor_work_guard<asio::io_context::executor_type> stay{context.get_executor()};
  // One Asio timer serves all of at(): it waits for the earliest entry.
  asio::steady_timer timer{context};
  std::multimap<Clock::time_point, std::function<void()>>
      due;  // guarded by mutex; equal times keep their order
  std::mutex mutex;
  Clock::time_point armed_for = Clock::time_point::max();  // on the executor's thread only
  asio::signal_set signals{context};
  std::function<void(int)> on_signal;

  void rearm() {
    Clock::time_point earliest;
    {
      const std::lock_guard lock(mutex);
      if (due.empty()) return;
      earliest = due.begin()->first;
    }
    if (earliest >= armed_for) return;
    armed_for = earliest;
    timer.expires_at(earliest);  // cancels the wait for a later time
    timer.async_wait([this](const boost::system::error_code& error) {
      if (error) return;
      armed_for = Clock::time_point::max();
      run_due();
      rearm();
    });
  }

  void run_due() {
    const Clock::time_point now = Clock::now();
    while (true) {
      std::function<void()> work;
      {
        const std::lock_guard lock(mutex);
        if (due.empty() || due.begin()->first > now) return;
        work = std::move(due.begin()->second);
        due.erase(due.begin());
      }
      work();
    }
  }

  void wait_for_signal() {
    signals.async_wait([this](const boost::system::error_code& error, int signal) {
      if (error) return;
      wait_for_signal();
      on_signal(signal);
    });
  }
};

AsioExecutor::AsioExecutor() : state_(std::make_unique<State>()) {}
AsioExecutor::~AsioExecutor() = default;

void AsioExecutor::run() {
  state_->context.run();
  state_->context.restart();
}

void AsioExecutor::stop() {
  state_->context.stop();
}

void AsioExecutor::post(std::function<void()> work) {
  asio::post(state_->context, std::move(work));
}

void AsioExecutor::at(Clock::time_point when, std::function<void()> work) {
  bool earliest = false;
  {
    const std::lock_guard lock(state_->mutex);
    const auto place = state_->due.emplace(when, std::move(work));
    earliest = place == state_->due.begin();
  }
  if (earliest) asio::post(state_->context, [this] { state_->rearm(); });
}

Clock::time_point AsioExecutor::now() const {
  return Clock::now();
}

WallTime AsioExecutor::wall_now() const {
  return std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

void AsioExecutor::on_signal(std::function<void(int)> handler) {
  state_->on_signal = std::move(handler);
  state_->signals.add(SIGINT);
  state_->signals.add(SIGTERM);
  state_->wait_for_signal();
}

boost::asio::io_context& AsioExecutor::context() {
  return state_->context;
}

}  // namespace cortensor::http
