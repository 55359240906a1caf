// The real executor: one Asio io_context, run by the one thread that calls run(). HTTP lives on it as well,
// so the roles and their HTTP sessions share a thread and need no locks between them.
#pragma once

#include <functional>
#include <memory>

#include "base/runtime/executor.h"

namespace boost::asio {
class io_context;
}

namespace cortensor::http {

class AsioExecutor final : public Executor {
 public:
  AsioExecutor();
  // Drops work that has not run. No thread may be in run().
  ~AsioExecutor() override;
  AsioExecutor(const AsioExecutor&) = delete;
  AsioExecutor& operator=(const AsioExecutor&) = delete;

  // Runs work on the calling thread until stop(), also while there is none. May be called again after it
  // returned.
  void run();
  // Makes run() return after the work it is in; a stop() without a run() stops the next one at once.
  // Thread-safe.
  void stop();

  void post(std::function<void()> work) override;
  void at(Clock::time_point when, std::function<void()> work) override;
  Clock::time_point now() const override;
  WallTime wall_now() const override;

  // Calls the handler on the executor's thread for every SIGINT and SIGTERM, which then no longer end the
  // process. Once per process and executor.
  void on_signal(std::function<void(int signal)> handler);

  // For the files of this folder that do network I/O.
  boost::asio::io_context& context();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cortensor::http
