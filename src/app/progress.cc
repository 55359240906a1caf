#include "app/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "app/terminal.h"

namespace cortensor::app {

bool standard_output_is_terminal() {
  return ::isatty(STDOUT_FILENO) == 1;
}

ProgressBar::ProgressBar(std::string title)
    : title_(std::move(title)), terminal_(takes_escapes(STDERR_FILENO)) {}

ProgressBar::~ProgressBar() {
  if (drawn_) std::fputs("\r\x1b[K", stderr);
}

void ProgressBar::update(double fraction, std::string_view doing) {
  const auto now = std::chrono::steady_clock::now();
  if (!terminal_ || (drawn_ && now - last_ < std::chrono::milliseconds(50))) return;
  last_ = now;
  drawn_ = true;
  constexpr int kWidth = 28;
  const int filled = static_cast<int>(std::clamp(fraction, 0.0, 1.0) * kWidth);
  std::string bar;
  for (int i = 0; i < kWidth; ++i) bar += i < filled ? "█" : "░";
  std::fprintf(stderr, "\r\x1b[K%s %s %3.0f %%  %.*s", title_.c_str(), bar.c_str(), fraction * 100,
               static_cast<int>(doing.size()), doing.data());
  std::fflush(stderr);
}

}  // namespace cortensor::app
