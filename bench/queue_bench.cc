// What one request costs the router's queue, by how many wait in it already: it comes while nobody is free
// and is told its place, somebody is served, somebody hangs up. Medians of rounds that take the lengths in
// turn.
//
//   queue_bench [--waiting 10,10000] [--rounds 15] [--clock wall|cpu]
#include <algorithm>
#include <cstdio>
#include <deque>
#include <random>
#include <string>
#include <vector>

#include "bench.h"
#include "router/core/waiting_line.h"

namespace cortensor::bench {
namespace {

using router::Place;
using router::QueueClass;
using router::WaitingLine;
using Answer = WaitingLine::Answer;

constexpr std::size_t kRequests = 2000;  // in a round

// A line of constant length, where requests of one to three choices come, are served and go.
class Crowd {
 public:
  explicit Crowd(std::size_t length) {
    while (line_.size() < length) come();
  }

  void request() {
    now_ += std::chrono::microseconds(500);
    const std::size_t before = line_.size();
    come();
    line_.serve(now_, [](const Place&) { return Answer::none; });
    place_ += line_.standing(tasks_.back(), now_)->place;
    if (random_() % 4 == 0) {
      line_.remove(tasks_[random_() % tasks_.size()], now_);
    }
    while (line_.size() < before) come();
    std::size_t free = line_.size() - before;
    line_.wake();
    line_.serve(now_, [&](const Place&) { return free == 0 ? Answer::none : (--free, Answer::served); });
  }
  std::size_t places() const { return place_; }

 private:
  void come() {
    tasks_.emplace_back("task_" + std::to_string(++count_));
    if (tasks_.size() > kRemembered) tasks_.erase(tasks_.begin());
    const auto patience = std::chrono::milliseconds(1000 + random_() % 60'000);
    const auto queue_class = random_() % 4 == 0 ? QueueClass::batch : QueueClass::interactive;
    const auto choices = static_cast<std::uint32_t>(1 + random_() % 3);
    for (std::uint32_t i = 0; i < choices; ++i)
      line_.push({{tasks_.back(), i}, Digest{}, queue_class, patience}, now_, false);
  }

  static constexpr std::size_t kRemembered = 64;  // of the tasks, for those that hang up

  WaitingLine line_;
  Clock::time_point now_;
  std::vector<TaskId> tasks_;
  std::mt19937 random_{1};
  std::size_t count_ = 0, place_ = 0;
};

void run(const std::vector<std::size_t>& lengths, std::size_t rounds) {
  std::deque<Crowd> crowds;
  for (const std::size_t length : lengths) crowds.emplace_back(length);
  std::vector<std::vector<double>> times(lengths.size());
  for (std::size_t round = 0; round < rounds; ++round)
    for (std::size_t i = 0; i < crowds.size(); ++i) {
      const double begin = now();
      for (std::size_t k = 0; k < kRequests; ++k) crowds[i].request();
      times[i].push_back((now() - begin) / kRequests);
    }
  double first = 0;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    std::sort(times[i].begin(), times[i].end());
    const double median = times[i][rounds / 2];
    if (i == 0) first = median;
    std::printf("%8zu waiting  %6.2f us a request  %5.2f times the first\n", lengths[i], median * 1e6,
                median / first);
  }
}

}  // namespace
}  // namespace cortensor::bench

int main(int argc, char** argv) {
  using namespace cortensor::bench;
  std::vector<std::size_t> lengths = {10, 10'000};
  std::size_t rounds = 15;
  read_flags(argc, argv, {flag("--waiting", lengths), flag("--rounds", rounds), clock_flag()});
  run(lengths, rounds);
}
