#include "app/ctrl_c.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>

#include "base/check.h"

namespace cortensor::app {
namespace {

int signalled = -1;  // the descriptor that the handler writes to

void raise_event(int fd) {
  const std::uint64_t one = 1;
  (void)!::write(fd, &one, sizeof one);
}

int new_event() {
  const int fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  CORTENSOR_CHECK(fd >= 0);
  return fd;
}

void set_handler(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  ::sigaction(SIGINT, &action, nullptr);
}

}  // namespace

CtrlC::CtrlC() : pressed_(new_event()) {
  signalled = pressed_;
  set_handler([](int) {
    const int kept = errno;
    raise_event(signalled);
    errno = kept;
  });
}

CtrlC::~CtrlC() {
  set_handler(SIG_DFL);
  ::close(pressed_);
}

bool CtrlC::take() {
  std::uint64_t times = 0;
  return ::read(pressed_, &times, sizeof times) == static_cast<ssize_t>(sizeof times);
}

CtrlCWatch::CtrlCWatch(const CtrlC& ctrl_c, std::function<void()> stop)
    : over_(new_event()), thread_([fd = ctrl_c.fd(), over = over_, stop = std::move(stop)] {
        pollfd events[] = {{fd, POLLIN, 0}, {over, POLLIN, 0}};
        while (::poll(events, 2, -1) < 0) {
        }
        if (events[0].revents != 0) stop();
      }) {}

CtrlCWatch::~CtrlCWatch() {
  raise_event(over_);
  thread_.join();
  ::close(over_);
}

}  // namespace cortensor::app
