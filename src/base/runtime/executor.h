// The only source of time and order for the roles: their state lives on one executor, everything else posts
// to it. Real: one Asio io_context run by one thread (http/asio_executor.h). Simulated: virtual time.
#pragma once

#include <chrono>
#include <functional>

namespace cortensor {

using Clock = std::chrono::steady_clock;
using WallTime = std::chrono::sys_time<std::chrono::milliseconds>;

class Executor {
 public:
  virtual ~Executor() = default;

  // Runs the work on the executor's thread, in the order posted. Thread-safe; never runs inline.
  virtual void post(std::function<void()> work) = 0;

  // Runs the work once the steady clock has reached `when`. Thread-safe. There is no cancelling: the work
  // asks whether it is still wanted (for example through a weak_ptr).
  virtual void at(Clock::time_point when, std::function<void()> work) = 0;

  virtual Clock::time_point now() const = 0;
  virtual WallTime wall_now() const = 0;
};

}  // namespace cortensor
