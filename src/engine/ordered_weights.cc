#include "engine/ordered_weights.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <optional>

#include "engine/exp_row.h"

namespace cortensor::engine {
namespace {

// Weights below 2^-24 never change a sum that begins with the largest weight, exactly 1: half a unit in the
// last place of such a sum is at least 2^-24. exp(-17) is below it, so logits further away than this many
// temperatures can neither be chosen nor move a limit, and may be left out. The margin covers the rounding of
// products.
constexpr float kReach = 17.1f;

constexpr std::size_t kTokensOfBucket = 64, kMostBuckets = 2048;

// Buckets of what is out of reach. To count in one of several does not wait for the last time.
constexpr std::uint32_t kDropped = 16;

// What `sum` is after these weights, or none if their order could matter.
std::optional<float> sum_in_any_order(float sum, std::span<const float> weights) {
  if (sum < 1.0f) return std::nullopt;
  const float power = std::bit_cast<float>(std::bit_cast<std::uint32_t>(sum) & 0x7f800000u);
  const float unit = power * 0x1p-23f;
  const float base = 1.5f * power;  // a number with the same unit: adding to it rounds to whole units
  constexpr std::int32_t kMostUnits = 1 << 22;  // from `base` to the next power
  std::int64_t units = 0;
  std::int32_t most = 0, halves = 0;
  for (const float weight : weights) {
    const float rounded = base + weight;
    const std::int32_t grown = std::bit_cast<std::int32_t>(rounded) - std::bit_cast<std::int32_t>(base);
    units += grown;
    most = std::max(most, grown);
    halves |= std::abs(weight - (rounded - base)) == 0.5f * unit ? 1 : 0;
  }
  if (halves != 0 || most >= kMostUnits || units >= 2 * kMostUnits) return std::nullopt;
  const float after = sum + static_cast<float>(units) * unit;
  return after < 2.0f * power ? std::optional(after) : std::nullopt;
}

}  // namespace

void OrderedWeights::set(std::span<const float> logits, float largest, float temperature, std::size_t most) {
  largest_ = largest;
  temperature_ = temperature;
  deal(logits, largest, temperature);
  weigh(0, count());
  if (most > 0 && most < count()) {
    Bucket& last = holding(most - 1);
    order(last);
    last.end = most;
    buckets_.resize(static_cast<std::size_t>(&last - buckets_.data()) + 1);
  }
  float sum = 0.0f;
  for (Bucket& bucket : buckets_) {
    bucket.before = sum;
    add(bucket);
    sum = bucket.after;
  }
}

// The bucket of a logit depends on its distance to the largest: larger logits come to lower buckets, equal
// ones to the same, and those out of reach behind them.
void OrderedWeights::deal(std::span<const float> logits, float largest, float temperature) {
  const auto buckets =
      static_cast<std::uint32_t>(std::clamp<std::size_t>(logits.size() / kTokensOfBucket, 1, kMostBuckets));
  const auto end = static_cast<float>(buckets);
  const float reach = std::min(kReach * temperature, std::numeric_limits<float>::max());
  // Where temperatures are too small for that, one bucket will do.
  const float scale = std::isfinite(end / reach) ? end / reach : 0.0f;
  bucket_of_.resize(logits.size());
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const float distance = (largest - logits[i]) * scale, place = distance < end ? distance : end;
    const auto bucket = static_cast<std::uint32_t>(static_cast<std::int32_t>(place));
    bucket_of_[i] = bucket + (bucket == buckets ? static_cast<std::uint32_t>(i) % kDropped : 0);
  }

  next_.assign(buckets + kDropped + 1, 0);
  for (const std::uint32_t bucket : bucket_of_) ++next_[bucket + 1];
  buckets_.clear();
  for (std::size_t b = 0; b < buckets + kDropped; ++b) {
    next_[b + 1] += next_[b];
    if (b < buckets && next_[b] < next_[b + 1]) buckets_.push_back({next_[b], next_[b + 1]});
  }
  logits_.resize(logits.size());
  for (std::size_t i = 0; i < logits.size(); ++i) logits_[next_[bucket_of_[i]]++] = logits[i];
}

void OrderedWeights::weigh(std::size_t begin, std::size_t end) {
  weights_.resize(logits_.size());
  for (std::size_t i = begin; i < end; ++i) weights_[i] = logits_[i] - largest_;
  exp_of_quotients(std::span(weights_).subspan(begin, end - begin), temperature_);
}

void OrderedWeights::add(Bucket& bucket) {
  const auto weights = std::span<const float>(weights_).subspan(bucket.begin, bucket.end - bucket.begin);
  if (const auto after = sum_in_any_order(bucket.before, weights))
    bucket.after = *after;
  else
    sort(bucket);
}

void OrderedWeights::order(const Bucket& bucket) {
  const auto begin = logits_.begin() + static_cast<std::ptrdiff_t>(bucket.begin);
  std::sort(begin, logits_.begin() + static_cast<std::ptrdiff_t>(bucket.end), std::greater<>());
  weigh(bucket.begin, bucket.end);
}

void OrderedWeights::sort(Bucket& bucket) {
  if (bucket.sorted) return;
  order(bucket);
  sums_.resize(logits_.size());
  float sum = bucket.before;
  for (std::size_t i = bucket.begin; i < bucket.end; ++i) sums_[i] = sum = sum + weights_[i];
  bucket.after = sum;
  bucket.sorted = true;
}

OrderedWeights::Bucket& OrderedWeights::holding(std::size_t place) {
  return *std::partition_point(buckets_.begin(), buckets_.end(),
                               [&](const Bucket& bucket) { return bucket.end <= place; });
}

float OrderedWeights::sum_at(std::size_t place) {
  Bucket& bucket = holding(place);
  sort(bucket);
  return sums_[place];
}

std::size_t OrderedWeights::first_sum(const std::function<bool(float sum)>& is_so) {
  const auto bucket = std::partition_point(buckets_.begin(), buckets_.end(),
                                           [&](const Bucket& b) { return !is_so(b.after); });
  if (bucket == buckets_.end()) return count();
  sort(*bucket);
  std::size_t place = bucket->begin;
  while (!is_so(sums_[place])) ++place;
  return place;
}

std::size_t OrderedWeights::first_below(float least) {
  const auto below = [&](float weight) { return weight < least; };
  const auto weights = std::span<const float>(weights_).first(count());
  const auto any = std::find_if(weights.begin(), weights.end(), below);
  if (any == weights.end()) return count();
  Bucket& bucket = holding(static_cast<std::size_t>(any - weights.begin()));
  sort(bucket);
  const auto first =
      std::find_if(weights.begin() + static_cast<std::ptrdiff_t>(bucket.begin), weights.end(), below);
  return static_cast<std::size_t>(first - weights.begin());
}

OrderedWeights::Which OrderedWeights::at(std::size_t place) {
  Bucket& bucket = holding(place);
  sort(bucket);
  std::size_t equal = 0;
  while (place - equal > bucket.begin && logits_[place - equal - 1] == logits_[place]) ++equal;
  return {logits_[place], equal};
}

}  // namespace cortensor::engine
