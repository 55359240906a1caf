#include "router/core/miner_record.h"

#include <algorithm>
#include <cmath>

namespace cortensor::router {
namespace {

constexpr double kKept = 0.7;  // of an average, when the next value comes at once
constexpr std::chrono::duration<double> kHalfLife = std::chrono::minutes(10);

// What a node counts as when it offers no usable number, or less.
constexpr double kUnknownSpeed = 0.001;
// More than any one machine answers a single sequence with.
constexpr double kMaxClaimedSpeed = 10'000;

// With fewer tokens to compute, the time to the first one tells of the way there, not of the speed.
constexpr std::size_t kTellingPrompt = 64;

double faded(Clock::duration age) {
  return std::exp2(-std::max(0.0, std::chrono::duration<double>(age) / kHalfLife));
}

}  // namespace

void RecentAverage::add(double seen, Clock::time_point now) {
  if (!std::isfinite(seen) || seen < 0) return;
  const double kept = last_ == Clock::time_point{} ? kKept : kKept * faded(now - last_);
  value_ = kept * value_ + (1 - kept) * seen;
  last_ = now;
}

double credible_speed(double claimed) {
  return std::isfinite(claimed) ? std::clamp(claimed, kUnknownSpeed, kMaxClaimedSpeed) : kUnknownSpeed;
}

void MinerRecord::claim(const protocol::ModelOffer& offer) {
  prefill_ = RecentAverage(1 / credible_speed(offer.prefill_tokens_per_second));
  claimed_ = {1 / credible_speed(offer.decode_tokens_per_second)};
  for (const double sum : offer.batch_tokens_per_second) {
    const double answers = std::exp2(static_cast<double>(claimed_.size()));
    claimed_.push_back(std::max(claimed_.back(), answers / credible_speed(sum)));
  }
}

double MinerRecord::first_token(std::size_t prompt_tokens) const {
  return delay_.value() + static_cast<double>(prompt_tokens) * prefill_.value();
}

double MinerRecord::token(std::size_t answers) const {
  return slowness_.value() * claimed_token(answers);
}

// Between two claims in proportion; beyond the last one answers share its speed.
double MinerRecord::claimed_token(std::size_t answers) const {
  const double position = std::log2(static_cast<double>(std::max<std::size_t>(answers, 1)));
  const auto below = std::min(static_cast<std::size_t>(position), claimed_.size() - 1);
  const double beyond = position - static_cast<double>(below);
  if (below + 1 == claimed_.size()) return claimed_[below] * std::exp2(beyond);
  return claimed_[below] + beyond * (claimed_[below + 1] - claimed_[below]);
}

void MinerRecord::saw_first_token(std::size_t prompt_tokens, double seconds, Clock::time_point now) {
  const auto tokens = static_cast<double>(prompt_tokens);
  if (prompt_tokens < kTellingPrompt)
    delay_.add(std::max(0.0, seconds - tokens * prefill_.value()), now);
  else
    prefill_.add(std::max(1e-6, (seconds - delay_.value()) / tokens), now);
}

void MinerRecord::saw_tokens(std::size_t answers, double seconds_per_token, Clock::time_point now) {
  slowness_.add(std::max(1e-6, seconds_per_token) / claimed_token(answers), now);
}

double MinerRecord::reliability(Clock::time_point now) const {
  return 1 - (1 - reliability_) * faded(now - reliability_at_);
}

void MinerRecord::succeeded(Clock::time_point now) {
  ++answers_;
  reliability_ = 1 - kKept * (1 - reliability(now));
  reliability_at_ = now;
}

void MinerRecord::failed(Clock::time_point now) {
  reliability_ = reliability(now) / 2;
  reliability_at_ = now;
}

}  // namespace cortensor::router
