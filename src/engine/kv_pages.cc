#include "engine/kv_pages.h"

#include "base/check.h"

namespace cortensor::engine {

PageAllocator::PageAllocator(std::size_t pages) : in_use_(pages, false) {
  for (std::size_t page = pages; page > 0; --page) free_.push_back(static_cast<PageId>(page - 1));
}

std::optional<std::vector<PageId>> PageAllocator::allocate(std::size_t count) {
  if (count > free_.size()) return std::nullopt;
  std::vector<PageId> pages(free_.rbegin(), free_.rbegin() + static_cast<std::ptrdiff_t>(count));
  free_.resize(free_.size() - count);
  for (const PageId page : pages) in_use_[page] = true;
  return pages;
}

void PageAllocator::release(const std::vector<PageId>& pages) {
  for (auto page = pages.rbegin(); page != pages.rend(); ++page) {
    CORTENSOR_CHECK(in_use_.at(*page));
    in_use_[*page] = false;
    free_.push_back(*page);
  }
}

}  // namespace cortensor::engine
