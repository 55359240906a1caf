#include "router/core/prefix_index.h"

#include <cstring>

#include "engine/page_keys.h"

namespace cortensor::router {

PrefixKeys prefix_keys(const Bytes32& salt, std::span<const TokenId> prompt) {
  engine::PageKeys pages(salt);
  pages.extend(prompt);
  PrefixKeys keys;
  for (const engine::PageKey& page : pages.keys()) {
    std::uint64_t key;
    std::memcpy(&key, page.data(), sizeof key);
    keys.push_back(key);
  }
  return keys;
}

std::unordered_map<protocol::LinkId, std::size_t> PrefixIndex::held(
    std::span<const std::uint64_t> keys) const {
  std::unordered_map<protocol::LinkId, std::size_t> pages;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const auto found = entries_.find(keys[i]);
    if (found == entries_.end()) break;
    bool any = false;
    for (const protocol::LinkId miner : found->second.miners) {
      std::size_t& own = pages[miner];
      if (own != i) continue;
      ++own;
      any = true;
    }
    if (!any) break;
  }
  std::erase_if(pages, [](const auto& one) { return one.second == 0; });
  return pages;
}

void PrefixIndex::note(protocol::LinkId miner, std::span<const std::uint64_t> keys) {
  for (const std::uint64_t key : keys) {
    const auto [at, fresh] = entries_.try_emplace(key);
    Entry& entry = at->second;
    if (fresh)
      entry.order = order_.insert(order_.end(), key);
    else
      order_.splice(order_.end(), order_, entry.order);
    std::erase(entry.miners, miner);
    if (entry.miners.size() == kMostMiners) entry.miners.erase(entry.miners.begin());
    entry.miners.push_back(miner);
  }
  while (entries_.size() > max_keys_) {
    entries_.erase(order_.front());
    order_.pop_front();
  }
}

}  // namespace cortensor::router
