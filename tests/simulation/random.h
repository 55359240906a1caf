// Where every unpredictable thing of a simulation comes from: one number, the seed. Streams of different
// names do not disturb each other.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

namespace cortensor::simulation {

using std::chrono::milliseconds;

class Random {
 public:
  Random(std::uint64_t seed, std::string_view stream) : state_(seed * 0x9e3779b97f4a7c15) {
    for (const char c : stream) state_ = (state_ ^ static_cast<std::uint8_t>(c)) * 0x100000001b3;
  }

  // SplitMix64.
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  std::uint64_t below(std::uint64_t end) { return next() % end; }
  // Both ends included.
  std::int64_t between(std::int64_t first, std::int64_t last) {
    return first + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(last - first) + 1));
  }
  milliseconds time(std::int64_t first_ms, std::int64_t last_ms) {
    return milliseconds(between(first_ms, last_ms));
  }
  bool chance(unsigned percent) { return below(100) < percent; }

 private:
  std::uint64_t state_;
};

}  // namespace cortensor::simulation
