#include "engine/kv_pages.h"

#include <cstring>

#include "base/check.h"

namespace cortensor::engine {

std::size_t PagePool::HashKey::operator()(const PageKey& key) const {
  std::size_t hash = 0;
  std::memcpy(&hash, key.data(), sizeof(hash));
  return hash;
}

PagePool::PagePool(std::size_t pages) : pages_(pages) {
  for (std::size_t page = pages; page > 0; --page) free_.push_back(static_cast<PageId>(page - 1));
}

std::optional<PagePool::Grant> PagePool::acquire(std::size_t count, std::span<const PageKey> wanted) {
  CORTENSOR_CHECK(wanted.size() <= count);
  Grant grant;
  std::size_t idle = 0;  // of those found
  for (const PageKey& key : wanted) {
    const auto at = by_key_.find(key);
    if (at == by_key_.end()) break;
    grant.pages.push_back(at->second);
    idle += pages_[at->second].users == 0 ? 1 : 0;
  }
  grant.found = grant.pages.size();
  if (count - grant.found > free() - idle) return std::nullopt;
  for (const PageId id : grant.pages)
    if (pages_[id].users++ == 0) idle_.erase(pages_[id].idle);
  while (grant.pages.size() < count) grant.pages.push_back(take());
  return grant;
}

PageId PagePool::take() {
  if (free_.empty()) {
    const PageId oldest = idle_.front();
    idle_.pop_front();
    by_key_.erase(*pages_[oldest].key);
    pages_[oldest].key.reset();
    free_.push_back(oldest);
  }
  const PageId id = free_.back();
  free_.pop_back();
  pages_[id].users = 1;
  return id;
}

void PagePool::publish(PageId id, const PageKey& key) {
  Page& page = pages_.at(id);
  CORTENSOR_CHECK(page.users > 0);
  if (!page.key && by_key_.emplace(key, id).second) page.key = key;
}

// The last page first: nobody can use it without those before it, so it makes way before them.
void PagePool::release(std::span<const PageId> pages) {
  for (auto id = pages.rbegin(); id != pages.rend(); ++id) {
    Page& page = pages_.at(*id);
    CORTENSOR_CHECK(page.users > 0);
    if (--page.users > 0) continue;
    if (page.key)
      page.idle = idle_.insert(idle_.end(), *id);
    else
      free_.push_back(*id);
  }
}

}  // namespace cortensor::engine
