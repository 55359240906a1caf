// Which miners have computed how much of a prompt's beginning lately, as far as this router can know: what it
// gave them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/generation.h"
#include "engine/kv_pages.h"
#include "protocol/link.h"

namespace cortensor::router {

using engine::kPagePositions;

// What an answer of so many positions takes of a cache: whole pages.
constexpr std::size_t cache_positions(std::size_t positions) {
  return engine::pages_for(positions) * kPagePositions;
}

// One key for each full page of the prompt, which stands for all tokens up to its end: 64 bits, for a
// mistaken one costs time only. Prompts of other salts have other keys.
using PrefixKeys = std::vector<std::uint64_t>;
PrefixKeys prefix_keys(const Bytes32& salt, std::span<const TokenId> prompt);

class PrefixIndex {
 public:
  explicit PrefixIndex(std::size_t max_keys = 1 << 18) : max_keys_(max_keys) {}

  // Full pages of the prompt that each miner is thought to have; miners without any are left out.
  std::unordered_map<protocol::LinkId, std::size_t> held(std::span<const std::uint64_t> keys) const;

  // The miner is given this prompt. The keys noted longest ago are forgotten for room.
  void note(protocol::LinkId miner, std::span<const std::uint64_t> keys);
  std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::vector<protocol::LinkId> miners;  // the latest last, few; some may have left
    std::list<std::uint64_t>::iterator order;
  };
  static constexpr std::size_t kMostMiners = 8;

  const std::size_t max_keys_;
  std::unordered_map<std::uint64_t, Entry> entries_;
  std::list<std::uint64_t> order_;  // the longest unused first
};

}  // namespace cortensor::router
