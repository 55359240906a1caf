// simulate --seeds N [--first S] [--jobs J] [--fault NAME] [--trace]: runs N seeds from S on; exit 0 when no
// checker complains, else 1 with the first seed that failed and how to see it again.
#include <atomic>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/log.h"
#include "simulation.h"

namespace {

using namespace cortensor::simulation;

struct Arguments {
  std::uint64_t seeds = 200, first = 1, jobs = 0;
  Fault fault = Fault::none;
  bool trace = false;
};

std::optional<Arguments> parse(int count, char** words) {
  Arguments arguments;
  for (int i = 1; i < count; ++i) {
    const std::string_view word = words[i];
    if (word == "--trace") {
      arguments.trace = true;
      continue;
    }
    if (++i == count) return std::nullopt;
    const std::string_view value = words[i];
    if (word == "--fault") {
      std::size_t at = 0;
      while (at < kFaults && to_string(static_cast<Fault>(at)) != value) ++at;
      if (at == kFaults) return std::nullopt;
      arguments.fault = static_cast<Fault>(at);
      continue;
    }
    std::uint64_t* number = word == "--seeds"   ? &arguments.seeds
                            : word == "--first" ? &arguments.first
                            : word == "--jobs"  ? &arguments.jobs
                                                : nullptr;
    if (number == nullptr) return std::nullopt;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), *number);
    if (error != std::errc() || end != value.data() + value.size()) return std::nullopt;
  }
  return arguments;
}

// The failing seed that is the lowest, so that the same call ends with the same words.
struct Failure {
  std::uint64_t seed = 0;
  Outcome outcome;
};

struct Totals {
  std::mutex mutex;
  Outcome sum;
  std::optional<Failure> failure;
  std::uint64_t ended = 0;

  void add(std::uint64_t seed, const Outcome& outcome) {
    const std::lock_guard lock(mutex);
    ++ended;
    sum.done += outcome.done;
    sum.failed += outcome.failed;
    sum.cancelled += outcome.cancelled;
    sum.broken += outcome.broken;
    if (!outcome.clean() && (!failure || seed < failure->seed)) failure = Failure{seed, outcome};
  }
};

}  // namespace

int main(int count, char** words) {
  const auto arguments = parse(count, words);
  if (!arguments) {
    std::fputs("usage: simulate [--seeds N] [--first S] [--jobs J] [--fault NAME] [--trace]\n", stderr);
    return 2;
  }
  cortensor::log::set_level(cortensor::log::Level::off);
  Totals totals;
  std::atomic<std::uint64_t> next = 0;
  const auto work = [&] {
    while (true) {
      const std::uint64_t seed = arguments->first + next++;
      if (seed >= arguments->first + arguments->seeds) return;
      const Outcome outcome = simulate(seed, arguments->fault, arguments->trace);
      if (arguments->trace)
        std::printf("seed %llu: %s\n", static_cast<unsigned long long>(seed), outcome.hash.c_str());
      totals.add(seed, outcome);
      if (!outcome.clean()) next = arguments->seeds;
    }
  };
  {
    std::vector<std::jthread> workers;
    const std::uint64_t jobs = arguments->trace  ? 1
                               : arguments->jobs ? arguments->jobs
                                                 : std::thread::hardware_concurrency();
    for (std::uint64_t i = 0; i < jobs; ++i) workers.emplace_back(work);
  }
  std::printf("%zu tasks done, %zu failed, %zu cancelled, %zu cut off by a router that died\n",
              totals.sum.done, totals.sum.failed, totals.sum.cancelled, totals.sum.broken);
  if (!totals.failure) {
    std::printf("%llu seeds, 0 violations\n", static_cast<unsigned long long>(totals.ended));
    return 0;
  }
  const auto seed = static_cast<unsigned long long>(totals.failure->seed);
  std::printf("seed %llu: %s\nto see it again: %s --seeds 1 --first %llu --trace%s%s\n", seed,
              totals.failure->outcome.violation.c_str(), words[0], seed,
              arguments->fault == Fault::none ? "" : " --fault ",
              arguments->fault == Fault::none ? "" : std::string(to_string(arguments->fault)).c_str());
  return 1;
}
