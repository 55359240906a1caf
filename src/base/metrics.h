// Counters, gauges and histograms in the Prometheus text form. Names: cortensor_<area>_<what>_<unit>[_total].
// Instruments live as long as the process; references stay valid. Thread-safe.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

namespace cortensor::metrics {

class Counter {
 public:
  void add(std::uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

class Gauge {
 public:
  void set(std::int64_t value) { value_.store(value, std::memory_order_relaxed); }
  void add(std::int64_t n) { value_.fetch_add(n, std::memory_order_relaxed); }
  std::int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_{0};
};

// Durations in seconds, in buckets from 50 microseconds to 2 seconds, a factor of 1.3 to 2 apart.
class Histogram {
 public:
  static constexpr int kBuckets = 24;
  void observe_seconds(double seconds);
  std::array<std::uint64_t, kBuckets + 1> counts() const;  // per bucket, not cumulative; the last is +Inf
  double sum_seconds() const {
    return static_cast<double>(sum_nanoseconds_.load(std::memory_order_relaxed)) * 1e-9;
  }
  static double upper_bound_seconds(int bucket);

 private:
  std::array<std::atomic<std::uint64_t>, kBuckets + 1> counts_{};
  std::atomic<std::uint64_t> sum_nanoseconds_{0};
};

// Finds or makes the instrument. `labels` is the text between the braces, for example kind="chat", or empty.
Counter& counter(std::string_view name, std::string_view help, std::string_view labels = {});
Gauge& gauge(std::string_view name, std::string_view help, std::string_view labels = {});
Histogram& histogram(std::string_view name, std::string_view help, std::string_view labels = {});

// Every instrument, in the Prometheus text exposition format, sorted by name.
std::string exposition();

}  // namespace cortensor::metrics
