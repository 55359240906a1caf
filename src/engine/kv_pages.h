// The key/value cache's bookkeeping: a fixed number of pages, handed out and taken back. What a page holds is
// the backend's business; a sequence's position p lies in slot p % kPagePositions of its page p /
// kPagePositions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace cortensor::engine {

using PageId = std::uint32_t;
inline constexpr std::size_t kPagePositions =
    64;  // one attention chunk, so that a chunk never spans two pages

constexpr std::size_t pages_for(std::size_t positions) {
  return (positions + kPagePositions - 1) / kPagePositions;
}

// Engine thread only.
class PageAllocator {
 public:
  explicit PageAllocator(std::size_t pages);

  // `count` pages, or none when so many are not free.
  std::optional<std::vector<PageId>> allocate(std::size_t count);
  // Takes back pages that allocate() gave.
  void release(const std::vector<PageId>& pages);

  std::size_t free() const { return free_.size(); }
  std::size_t total() const { return in_use_.size(); }

 private:
  std::vector<PageId> free_;  // a stack: a page used lately is likelier to be in the processor's cache
  std::vector<bool> in_use_;
};

}  // namespace cortensor::engine
