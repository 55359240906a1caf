// The key/value cache's bookkeeping: a fixed number of pages, handed out, shared and taken back. What a page
// holds is the backend's business; a sequence's position p lies in slot p % kPagePositions of its page p /
// kPagePositions.
//
// A full page is never written again, and its bits follow from the tokens up to its end alone (A1.1). So it
// may get a key that stands for these tokens (page_keys.h), and every later sequence that begins with them
// reads it instead of computing the same bits anew. A page with a key is kept when nobody uses it any more,
// until its room is needed: the one that was let go longest ago makes way first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/bytes.h"

namespace cortensor::engine {

using PageId = std::uint32_t;
inline constexpr std::size_t kPagePositions =
    64;  // one attention chunk, so that a chunk never spans two pages

constexpr std::size_t pages_for(std::size_t positions) {
  return (positions + kPagePositions - 1) / kPagePositions;
}

using PageKey = Bytes32;

// One thread at a time.
class PagePool {
 public:
  explicit PagePool(std::size_t pages);

  struct Grant {
    std::vector<PageId> pages;
    std::size_t found = 0;  // the first ones hold what was wanted; the others hold nothing of use
  };
  // The pages of a sequence of `count`, of which it would like the first ones to be those with the keys
  // `wanted` (at most `count`): as many of them as there are without a gap. None when there is not enough
  // room.
  std::optional<Grant> acquire(std::size_t count, std::span<const PageKey> wanted = {});
  // Makes a page that is in use findable. Where another page has the key, that one goes on being found.
  void publish(PageId page, const PageKey& key);
  // Takes back a grant's pages.
  void release(std::span<const PageId> pages);

  std::size_t free() const { return free_.size() + idle_.size(); }  // to be had now
  std::size_t kept() const { return idle_.size(); }                 // of them, those that can be found
  std::size_t total() const { return pages_.size(); }

 private:
  struct Page {
    std::uint32_t users = 0;
    std::optional<PageKey> key;
    std::list<PageId>::iterator idle;  // its place in idle_: when it has a key and no users
  };
  struct HashKey {  // keys are digests: any part of one is a hash
    std::size_t operator()(const PageKey& key) const;
  };
  PageId take();  // there is one

  std::vector<Page> pages_;
  std::vector<PageId> free_;  // a stack: a page used lately is likelier to be in the processor's cache
  std::list<PageId> idle_;    // the one let go longest ago first
  std::unordered_map<PageKey, PageId, HashKey> by_key_;
};

}  // namespace cortensor::engine
