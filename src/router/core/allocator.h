// Which miner gets the next answer: the one from which first and last token are expected soonest, with what
// it is thought to have in its cache, what it works on already, and how often its answers come to something.
//
//   cost = (first + last) / reliability^2      in seconds; both expected times from miner_record.h
//
// Among miners that cost nearly the same, a prompt that fills a page goes to the one that its beginning and
// the account point to, the same for every router, so that its next turn finds the cache; any other prompt to
// the better of two drawn, so that routers who see the same do not all choose the same. Now and then a miner
// on probation is preferred to the others, for else nobody would come to know it.
#pragma once

#include <set>
#include <span>

#include "ledger/types.h"
#include "router/core/decision.h"
#include "router/core/node_table.h"
#include "router/core/prefix_index.h"

namespace cortensor::router {

// An answer that wants a miner.
struct Work {
  Digest weights{};
  std::size_t prompt_tokens = 0;  // with those of the answer that are given
  std::size_t answer_tokens = 0;  // at most
  std::span<const std::uint64_t> prefix = {};
  std::uint64_t draw = 0;               // decides where chance does: equal work may get another number
  const std::set<NodeId>* except = {};  // miners that failed at it, had no room, or are at work on it
  const ledger::ServiceLevel* service = nullptr;
  const AccountId* account = nullptr;  // whose it is; nullptr: of one for whom every miner works
};

class Allocator {
 public:
  // All arguments outlive the object.
  Allocator(NodeTable& nodes, const Executor& executor) : nodes_(nodes), executor_(executor) {}

  // Attached miners that could ever do it, when nothing else is to be done.
  std::size_t able(const Work& work) const;

  // The miner, or nullptr when none can begin now; `decision` tells why.
  AttachedNode* choose(const Work& work, Decision& decision);

  PrefixIndex& prefixes() { return prefixes_; }

 private:
  NodeTable& nodes_;
  const Executor& executor_;
  PrefixIndex prefixes_;
};

}  // namespace cortensor::router
