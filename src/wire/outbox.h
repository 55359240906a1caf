// What waits to be written to one stream. gRPC allows a single write in flight, so a frame is taken out with
// begin_write() and the next one only after end_write(). Bounded: when push() refuses, the peer is too slow
// and the link is to be closed. Not thread-safe: its link's mutex guards it.
#pragma once

#include <cstddef>
#include <deque>
#include <string>

namespace cortensor::wire {

class Outbox {
 public:
  struct Limits {
    std::size_t frames = 4096;
    std::size_t bytes = 32 << 20;
  };

  explicit Outbox(Limits limits) : limits_(limits) {}

  // False, and nothing changes, when the frame would exceed a limit. The frame in flight counts.
  [[nodiscard]] bool push(std::string frame) {
    if (frames_.size() + 1 > limits_.frames || frame.size() > limits_.bytes - bytes_) return false;
    bytes_ += frame.size();
    frames_.push_back(std::move(frame));
    return true;
  }

  // The oldest frame, now in flight and valid until end_write(); nullptr when one is in flight already or
  // none waits.
  const std::string* begin_write() {
    if (writing_ || frames_.empty()) return nullptr;
    writing_ = true;
    return &frames_.front();
  }

  void end_write() {
    if (!writing_) return;
    writing_ = false;
    bytes_ -= frames_.front().size();
    frames_.pop_front();
  }

  bool writing() const { return writing_; }
  bool empty() const { return frames_.empty(); }
  std::size_t frames() const { return frames_.size(); }
  std::size_t bytes() const { return bytes_; }

 private:
  Limits limits_;
  std::deque<std::string> frames_;
  std::size_t bytes_ = 0;
  bool writing_ = false;
};

}  // namespace cortensor::wire
