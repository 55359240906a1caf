// A progress bar on standard error, drawn only on a terminal and gone when the work is done.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace cortensor::app {

class ProgressBar {
 public:
  explicit ProgressBar(std::string title);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // fraction in [0, 1]; `doing` names the present step. Redraws at most twenty times a second.
  void update(double fraction, std::string_view doing);

 private:
  std::string title_;
  bool terminal_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point last_{};
};

bool standard_output_is_terminal();

}  // namespace cortensor::app
