// Ctrl-C as something to wait for, instead of the end of the process.
#pragma once

#include <functional>
#include <thread>

namespace cortensor::app {

// From construction to destruction SIGINT makes fd() readable. One at a time.
class CtrlC {
 public:
  CtrlC();
  ~CtrlC();
  CtrlC(const CtrlC&) = delete;
  CtrlC& operator=(const CtrlC&) = delete;

  int fd() const { return pressed_; }
  // Whether it was pressed since the last call.
  bool take();

 private:
  int pressed_;
};

// Calls `stop`, on another thread, if Ctrl-C is pressed while this lives.
class CtrlCWatch {
 public:
  CtrlCWatch(const CtrlC& ctrl_c, std::function<void()> stop);
  ~CtrlCWatch();
  CtrlCWatch(const CtrlCWatch&) = delete;
  CtrlCWatch& operator=(const CtrlCWatch&) = delete;

 private:
  int over_;
  std::thread thread_;
};

}  // namespace cortensor::app
