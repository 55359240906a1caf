#include "base/metrics.h"

#include <cstdio>
#include <map>
#include <memory>
#include <mutex>

namespace cortensor::metrics {
namespace {

struct Family {
  const char* type;
  std::string help;
  std::map<std::string, std::unique_ptr<Counter>, std::less<>> counters;
  std::map<std::string, std::unique_ptr<Gauge>, std::less<>> gauges;
  std::map<std::string, std::unique_ptr<Histogram>, std::less<>> histograms;
};

struct Registry {
  std::mutex mutex;
  std::map<std::string, Family, std::less<>> families;
};

Registry& registry() {
  static Registry instance;
  return instance;
}

template <class Instrument>
Instrument& find(std::string_view name, std::string_view help, std::string_view labels, const char* type,
                 std::map<std::string, std::unique_ptr<Instrument>, std::less<>> Family::*member) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  Family& family = all.families[std::string(name)];
  family.type = type;
  family.help = help;
  auto& slot = (family.*member)[std::string(labels)];
  if (!slot) slot = std::make_unique<Instrument>();
  return *slot;
}

std::string braces(const std::string& labels) {
  return labels.empty() ? "" : "{" + labels + "}";
}

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}

void append_histogram(std::string& out, const std::string& name, const std::string& labels,
                      const Histogram& histogram) {
  const std::string prefix = labels.empty() ? "" : labels + ",";
  const auto counts = histogram.counts();
  std::uint64_t running = 0;
  for (int bucket = 0; bucket <= Histogram::kBuckets; ++bucket) {
    running += counts[static_cast<std::size_t>(bucket)];
    const std::string bound =
        bucket == Histogram::kBuckets ? "+Inf" : number(Histogram::upper_bound_seconds(bucket));
    out += name + "_bucket{" + prefix + "le=\"" + bound + "\"} " + std::to_string(running) + "\n";
  }
  out += name + "_sum" + braces(labels) + " " + number(histogram.sum_seconds()) + "\n";
  out += name + "_count" + braces(labels) + " " + std::to_string(running) + "\n";
}

}  // namespace

double Histogram::upper_bound_seconds(int bucket) {
  static constexpr std::array<double, kBuckets> kBounds = {
      50e-6, 70e-6, 100e-6, 150e-6, 200e-6, 300e-6, 500e-6, 700e-6, 1e-3,   1.5e-3, 2e-3, 3e-3,
      5e-3,  7e-3,  10e-3,  15e-3,  20e-3,  30e-3,  50e-3,  100e-3, 200e-3, 500e-3, 1.0,  2.0};
  return kBounds[static_cast<std::size_t>(bucket)];
}

void Histogram::observe_seconds(double seconds) {
  int bucket = 0;
  while (bucket < kBuckets && seconds > upper_bound_seconds(bucket)) ++bucket;
  counts_[static_cast<std::size_t>(bucket)].fetch_add(1, std::memory_order_relaxed);
  sum_nanoseconds_.fetch_add(static_cast<std::uint64_t>(seconds > 0 ? seconds * 1e9 : 0),
                             std::memory_order_relaxed);
}

std::array<std::uint64_t, Histogram::kBuckets + 1> Histogram::counts() const {
  std::array<std::uint64_t, kBuckets + 1> out{};
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = counts_[i].load(std::memory_order_relaxed);
  return out;
}

Counter& counter(std::string_view name, std::string_view help, std::string_view labels) {
  return find<Counter>(name, help, labels, "counter", &Family::counters);
}
Gauge& gauge(std::string_view name, std::string_view help, std::string_view labels) {
  return find<Gauge>(name, help, labels, "gauge", &Family::gauges);
}
Histogram& histogram(std::string_view name, std::string_view help, std::string_view labels) {
  return find<Histogram>(name, help, labels, "histogram", &Family::histograms);
}

std::string exposition() {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  std::string out;
  for (const auto& [name, family] : all.families) {
    out += "# HELP " + name + " " + family.help + "\n# TYPE " + name + " " + family.type + "\n";
    for (const auto& [labels, instrument] : family.counters)
      out += name + braces(labels) + " " + std::to_string(instrument->value()) + "\n";
    for (const auto& [labels, instrument] : family.gauges)
      out += name + braces(labels) + " " + std::to_string(instrument->value()) + "\n";
    for (const auto& [labels, instrument] : family.histograms)
      append_histogram(out, name, labels, *instrument);
  }
  return out;
}

}  // namespace cortensor::metrics
