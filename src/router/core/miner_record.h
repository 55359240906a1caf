// What is known of a miner running a model: its word when it joined, then more and more what this router has
// seen. Times are averaged, not speeds, so that a boast is forgotten after a few answers. The record outlives
// the miner's link: nobody comes back better than it left.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "base/runtime/executor.h"
#include "protocol/message.h"

namespace cortensor::router {

// An average in which the latest value counts for 3/10, and for more the longer the one before it is past.
class RecentAverage {
 public:
  explicit RecentAverage(double first) : value_(first) {}
  void add(double seen, Clock::time_point now);
  double value() const { return value_; }

 private:
  double value_;
  Clock::time_point last_{};
};

// A node's own word counts for no more than is credible, and never for nothing.
double credible_speed(double claimed);  // tokens per second

class MinerRecord {
 public:
  explicit MinerRecord(const protocol::ModelOffer& offer) { claim(offer); }

  // What the miner says of its speed, as long as nothing was seen of it.
  void claim(const protocol::ModelOffer& offer);

  // Expected seconds: from the assignment to the first token, with so many tokens of prompts to compute
  // before it; and between two tokens of each of that many answers at a time.
  double first_token(std::size_t prompt_tokens) const;
  double token(std::size_t answers) const;
  double prefill_tokens_per_second() const { return 1 / prefill_.value(); }
  double decode_tokens_per_second() const { return 1 / token(1); }

  void saw_first_token(std::size_t prompt_tokens, double seconds, Clock::time_point now);
  void saw_tokens(std::size_t answers, double seconds_per_token, Clock::time_point now);

  // Of what it was thought to have in its cache, the share that it had.
  double kept() const { return kept_.value(); }
  void saw_cached(double share, Clock::time_point now) { kept_.add(std::min(share, 1.0), now); }

  // The share of its answers that come to something: 1 without failures, half of it after each, and again
  // nearer to 1 with every signed answer and with time.
  double reliability(Clock::time_point now) const;
  void succeeded(Clock::time_point now);
  void failed(Clock::time_point now);

  // Too few signed answers yet to rely on.
  bool on_probation() const { return answers_ < kProbation; }
  std::size_t answers() const { return answers_; }

 private:
  static constexpr std::size_t kProbation = 4;
  static constexpr double kDelay = 0.005;  // until one was seen

  double claimed_token(std::size_t answers) const;

  std::vector<double> claimed_;  // seconds a token of each of 1, 2, 4, … answers; at least one
  RecentAverage slowness_{1};    // of tokens: seen over claimed
  RecentAverage prefill_{0};     // seconds a token
  RecentAverage delay_{kDelay};  // seconds before anything is computed
  RecentAverage kept_{1};
  std::size_t answers_ = 0;
  double reliability_ = 1;
  Clock::time_point reliability_at_{};
};

}  // namespace cortensor::router
