// Byte-pair merging: neighbours are joined, the best-ranked pair first, the leftmost of equals, until none is
// left. A heap over a linked list: n log n steps for n symbols, however long the text is.   Spec:
// tokenizer.md
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <queue>
#include <utility>
#include <vector>

#include "base/generation.h"

namespace cortensor::engine {

struct Merge {
  std::uint32_t rank = 0;  // smaller goes first
  TokenId token = 0;       // what the pair becomes
};

// A stretch of the text and the token that stands for it.
struct BpeSymbol {
  std::uint32_t begin = 0;
  std::uint32_t length = 0;  // 0: joined to the symbol on its left
  TokenId token = 0;
  std::uint32_t previous = 0;
  std::uint32_t next = 0;
};

// Works in memory that is kept from one text to the next.
class BpeMerger {
 public:
  void clear() { symbols_.clear(); }
  // Adds a symbol on the right; `length` is at least 1.
  void push(std::uint32_t begin, std::uint32_t length, TokenId token) {
    const auto index = static_cast<std::uint32_t>(symbols_.size());
    symbols_.push_back({begin, length, token, index - 1, index + 1});
  }

  // find: (const BpeSymbol& left, const BpeSymbol& right) -> std::optional<Merge>. Appends what is left to
  // `out`.
  template <class Find>
  void merge(const Find& find, std::vector<TokenId>& out) {
    for (std::uint32_t left = 0; left + 1 < symbols_.size(); ++left) consider(left, left + 1, find);
    while (!heap_.empty()) {
      const Pair pair = heap_.top();
      heap_.pop();
      BpeSymbol& left = symbols_[pair.left];
      BpeSymbol& right = symbols_[pair.right];
      // Outdated when either side has been joined to something meanwhile.
      if (left.length == 0 || right.length == 0 || left.length + right.length != pair.length) continue;
      left.token = pair.token;
      left.length = pair.length;
      right.length = 0;
      left.next = right.next;
      if (left.next < symbols_.size()) {
        symbols_[left.next].previous = pair.left;
        consider(pair.left, left.next, find);
      }
      if (pair.left > 0) consider(left.previous, pair.left, find);
    }
    for (std::uint32_t i = 0; i < symbols_.size(); i = symbols_[i].next) out.push_back(symbols_[i].token);
  }

 private:
  struct Pair {
    std::uint32_t rank;
    std::uint32_t left;
    std::uint32_t right;
    std::uint32_t length;
    TokenId token;
    friend bool operator>(const Pair& a, const Pair& b) {
      return a.rank != b.rank ? a.rank > b.rank : a.left > b.left;
    }
  };

  template <class Find>
  void consider(std::uint32_t left, std::uint32_t right, const Find& find) {
    const BpeSymbol& a = symbols_[left];
    const BpeSymbol& b = symbols_[right];
    if (const std::optional<Merge> merge = find(a, b))
      heap_.push({merge->rank, left, right, a.length + b.length, merge->token});
  }

  std::vector<BpeSymbol> symbols_;
  std::priority_queue<Pair, std::vector<Pair>, std::greater<>> heap_;
};

// Pairs of tokens to their merges, in one flat table with open addressing.
class MergeTable {
 public:
  explicit MergeTable(std::size_t capacity) {
    std::size_t size = 16;
    while (size < capacity * 2) size *= 2;
    slots_.resize(size);
  }
  // The first merge of a pair stays. At most `capacity` pairs.
  void add(TokenId left, TokenId right, Merge merge) {
    Slot& slot = slots_[find_slot(key_of(left, right))];
    if (slot.key == kEmpty) slot = {key_of(left, right), merge};
  }
  std::optional<Merge> find(TokenId left, TokenId right) const {
    const Slot& slot = slots_[find_slot(key_of(left, right))];
    if (slot.key == kEmpty) return std::nullopt;
    return slot.merge;
  }

 private:
  static constexpr std::uint64_t kEmpty = ~std::uint64_t{0};  // no pair of token ids
  struct Slot {
    std::uint64_t key = kEmpty;
    Merge merge;
  };
  static std::uint64_t key_of(TokenId left, TokenId right) { return std::uint64_t{left} << 32 | right; }
  std::size_t find_slot(std::uint64_t key) const {
    std::uint64_t hash = key * 0x9e3779b97f4a7c15u;
    hash ^= hash >> 32;
    std::size_t at = hash & (slots_.size() - 1);
    while (slots_[at].key != key && slots_[at].key != kEmpty) at = (at + 1) & (slots_.size() - 1);
    return at;
  }
  std::vector<Slot> slots_;
};

}  // namespace cortensor::engine
