// The weights of a vocabulary's tokens in the order of A14.3, largest first, and their running sums, without
// sorting all of them.
//
// Logits are dealt into buckets, one below the other, and only few buckets are sorted. A running sum s in
// [2^e, 2^(e+1)) grows by whole units of its last place; by how many depends on the weight alone unless that
// is half way between two of them. So while s stays below 2^(e+1), the weights of a bucket can be added in
// any order, as integers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace cortensor::engine {

// Places count from 0. One thread at a time.
class OrderedWeights {
 public:
  // The weights of finite logits, at a temperature above 0; `largest` is the largest. Of -inf there is none,
  // nor of those so small that they change no sum. With `most` above 0: the first so many.
  void set(std::span<const float> logits, float largest, float temperature, std::size_t most);

  std::size_t count() const { return buckets_.back().end; }  // at least 1
  // The sum up to and including a place. A14.5
  float sum_at(std::size_t place);
  // The first place whose sum is so: true from some sum on. count() if there is none.
  std::size_t first_sum(const std::function<bool(float sum)>& is_so);
  // The first place with a weight below `least`; count() if there is none.
  std::size_t first_below(float least);

  struct Which {
    float logit;
    std::size_t equal;  // places before it that have the same logit
  };
  Which at(std::size_t place);

 private:
  struct Bucket {
    std::size_t begin = 0, end = 0;  // places
    float before = 0.0f, after = 0.0f;
    bool sorted = false;
  };
  void deal(std::span<const float> logits, float largest, float temperature);
  void weigh(std::size_t begin, std::size_t end);
  void add(Bucket& bucket);
  void order(const Bucket& bucket);
  void sort(Bucket& bucket);
  Bucket& holding(std::size_t place);

  float largest_ = 0.0f, temperature_ = 1.0f;
  std::vector<std::uint32_t> bucket_of_, next_;  // by token, by bucket
  std::vector<Bucket> buckets_;
  // By place; within a bucket that is not sorted, in any order and without sums.
  std::vector<float> logits_, weights_, sums_;
};

}  // namespace cortensor::engine
