// A hash table of positions in an array that its owner keeps: four bytes a slot. For vocabularies, which have
// more than a hundred thousand entries and stay as long as their model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace cortensor::engine {

class FlatIndex {
 public:
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};

  explicit FlatIndex(std::size_t capacity = 0) {
    std::size_t size = 16;
    while (size < capacity + capacity / 2) size *= 2;
    slots_.assign(size, kNone);
  }
  // The slot of the entry with that hash of which equal(position) is true; where there is none, the empty
  // slot where its position belongs. At most `capacity` may be filled.
  template <class Equal>
  std::uint32_t& slot(std::uint64_t hash, const Equal& equal) {
    return slots_[find_slot(hash, equal)];
  }
  template <class Equal>
  std::uint32_t find(std::uint64_t hash, const Equal& equal) const {
    return slots_[find_slot(hash, equal)];
  }

 private:
  template <class Equal>
  std::size_t find_slot(std::uint64_t hash, const Equal& equal) const {
    hash *= 0x9e3779b97f4a7c15u;
    hash ^= hash >> 32;
    std::size_t at = hash & (slots_.size() - 1);
    while (slots_[at] != kNone && !equal(slots_[at])) at = (at + 1) & (slots_.size() - 1);
    return at;
  }
  std::vector<std::uint32_t> slots_;
};

}  // namespace cortensor::engine
