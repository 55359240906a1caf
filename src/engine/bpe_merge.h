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
#include "engine/flat_index.h"

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

// Pairs of tokens to their merges, best first.
class MergeTable {
  auto same(TokenId left, TokenId right) const {
    return
        [this, left, right](std::uint32_t i) { return rules_[i].left == left && rules_[i].right == right; };
  }

 public:
  explicit MergeTable(std::size_t capacity) : index_(capacity) { rules_.reserve(capacity); }
  // Ranks behind what is there, or changes nothing where the pair has a merge. At most `capacity` pairs.
  void add(TokenId left, TokenId right, TokenId whole) {
    std::uint32_t& slot = index_.slot(key_of(left, right), same(left, right));
    if (slot != FlatIndex::kNone) return;
    slot = static_cast<std::uint32_t>(rules_.size());
    rules_.push_back({left, right, whole});
  }
  std::optional<Merge> find(TokenId left, TokenId right) const {
    const std::uint32_t rule = index_.find(key_of(left, right), same(left, right));
    if (rule == FlatIndex::kNone) return std::nullopt;
    return Merge{rule, rules_[rule].whole};
  }

 private:
  struct Rule {
    TokenId left, right, whole;
  };
  static std::uint64_t key_of(TokenId left, TokenId right) { return std::uint64_t{left} << 32 | right; }
  std::vector<Rule> rules_;
  FlatIndex index_;
};

}  // namespace cortensor::engine
