// The nodes attached now: what they offer, and how busy they are.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/generation.h"
#include "base/ids.h"
#include "base/runtime/executor.h"
#include "protocol/link.h"
#include "protocol/message.h"
#include "router/core/miner_record.h"

namespace cortensor::router {

struct AttachedModel {
  std::string id;  // as the router serves it
  Digest weights{};
  MinerRecord* record = nullptr;        // what is known of its speed; the table's
  std::size_t kv_positions = 0;         // that its cache holds; 0: it did not say
  std::size_t kv_reserved = 0;          // of them, by the answers it works on
  std::size_t kv_elsewhere = 0;         // of them, by those of other routers
  std::size_t prompt_tokens_ahead = 0;  // given to it, and not computed yet

  // Its cache is large enough for an answer of so many positions, when there is no other.
  bool holds(std::size_t positions) const { return kv_positions == 0 || positions <= kv_positions; }
};

struct AttachedNode {
  protocol::LinkId link = 0;
  NodeId id;
  protocol::Role role = protocol::Role::miner;
  std::string isa;
  std::uint32_t slots = 0;
  std::uint32_t busy = 0;       // pieces of work given out by this router and not ended
  std::uint32_t elsewhere = 0;  // and by other routers, as it says
  std::uint32_t kept = 0;       // slots that it keeps for other routers
  std::vector<AttachedModel> models;
  std::vector<AccountId> only_for;  // it works for nobody else; none: for everybody
  std::uint32_t strikes = 0;
  bool quarantined = false;  // its link is closing
  Clock::time_point last_heard;

  std::uint32_t free_slots() const {
    const std::uint64_t taken = std::uint64_t{busy} + elsewhere + kept;
    return quarantined || taken >= slots ? 0 : static_cast<std::uint32_t>(slots - taken);
  }
  bool free() const { return free_slots() > 0; }
  const AttachedModel* model(const Digest& weights) const;
  AttachedModel* model(const Digest& weights) {
    return const_cast<AttachedModel*>(std::as_const(*this).model(weights));
  }
};

// What an answer takes of the miner at work on it.
struct Engagement {
  protocol::LinkId link = 0;
  Digest weights{};
  std::size_t answers = 0;        // that the miner works on, this one included
  std::size_t prompt_tokens = 0;  // to compute before its first token, those of others ahead of it included
  std::size_t own_tokens = 0;     // of them, its own; none any more once they are computed
  std::size_t cached_tokens = 0;  // that it need not compute, it is thought
  std::size_t positions = 0;      // of the cache
  Clock::time_point since;
  double first_token = 0;  // expected, in seconds from then
};

class NodeTable {
 public:
  explicit NodeTable(const Executor& executor) : executor_(executor) {}

  // References stay valid until the node is removed. `offers`: parallel to the node's models; a miner that
  // was here before is known better than by these.
  AttachedNode& add(AttachedNode node, std::span<const protocol::ModelOffer> offers);
  // A miner that leaves with work under way has failed at it.
  void remove(protocol::LinkId link);
  AttachedNode* find(protocol::LinkId link);  // nullptr when not attached
  // What the node says of its work for others. True: something may have become free.
  bool heard(AttachedNode& node, const protocol::Heartbeat& beat);
  // The link of that node in that role, or nullptr.
  AttachedNode* find(const NodeId& node, protocol::Role role);

  // The validator with a free slot that can expect to check soonest: speed / (busy + 1). Equal ones: the
  // smaller id. nullptr when there is none.
  AttachedNode* choose_validator(const Digest& weights, const std::set<NodeId>& except);

  // Attached nodes with the model, free or not.
  std::size_t count(protocol::Role role, const Digest& weights, const std::set<NodeId>& except = {}) const;
  // Slots that are free now among the miners of a model.
  std::size_t free_slots(const Digest& weights) const;

  // The miner gets an answer with so many tokens to compute first and so many positions at most; released
  // once the miner is heard to have let go of it.
  Engagement engage(AttachedNode& miner, const Digest& weights, std::size_t prompt_tokens,
                    std::size_t cached_tokens, std::size_t positions);
  void prompt_computed(Engagement& engagement);
  void release(Engagement& engagement);
  // Expected seconds between two tokens, with all that the miner works on now.
  double token_now(const Engagement& engagement);
  // What a miner needed is remembered of it, unless it has left.
  void saw_first_token(const Engagement& engagement);
  void saw_tokens(const Engagement& engagement, double tokens_per_second);
  void succeeded(const Engagement& engagement, std::size_t cached_tokens);
  // An answer of this miner came to nothing.
  void failed(const NodeId& miner, const Digest& weights);

  const std::map<protocol::LinkId, AttachedNode>& nodes() const { return nodes_; }

 private:
  AttachedModel* model_of(const Engagement& engagement);

  const Executor& executor_;
  std::map<protocol::LinkId, AttachedNode> nodes_;
  std::map<std::tuple<NodeId, protocol::Role, Digest>, MinerRecord>
      records_;  // of all that were ever attached
};

}  // namespace cortensor::router
