// The nodes attached now: what they offer, how busy and how fast they are, and whom to give the next piece of
// work.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/generation.h"
#include "base/ids.h"
#include "base/runtime/executor.h"
#include "protocol/link.h"
#include "protocol/message.h"

namespace cortensor::router {

struct AttachedModel {
  std::string id;  // as the router serves it
  Digest weights{};
  double prefill_tokens_per_second = 0;  // as offered
  double decode_tokens_per_second = 0;   // as offered, then a moving average of what was seen
};

struct AttachedNode {
  protocol::LinkId link = 0;
  NodeId id;
  protocol::Role role = protocol::Role::miner;
  std::string isa;
  std::uint32_t slots = 0;
  std::uint32_t busy = 0;  // pieces of work given out by this router and not ended
  std::vector<AttachedModel> models;
  std::uint32_t strikes = 0;
  bool quarantined = false;  // its link is closing
  Clock::time_point last_heard;

  bool free() const { return busy < slots && !quarantined; }
  const AttachedModel* model(const Digest& weights) const;
};

// What a node's own claim of tokens per second counts as: never more than is credible, never nothing.
double credible_speed(double claimed);

class NodeTable {
 public:
  // References stay valid until the node is removed.
  AttachedNode& add(AttachedNode node);
  void remove(protocol::LinkId link);
  AttachedNode* find(protocol::LinkId link);  // nullptr when not attached
  // The link of that node in that role, or nullptr.
  AttachedNode* find(const NodeId& node, protocol::Role role);

  // The best miner with a free slot: the one that a further answer can expect the most tokens per second
  // from, speed / (busy + 1). Equal ones: the smaller id. nullptr when there is none.
  AttachedNode* choose_miner(const Digest& weights, const std::set<NodeId>& except);
  // The same among the validators, by prefill speed.
  AttachedNode* choose_validator(const Digest& weights, const std::set<NodeId>& except);

  // Attached nodes that could ever do it, free or not.
  std::size_t count(protocol::Role role, const Digest& weights, const std::set<NodeId>& except = {}) const;
  // Slots that are free now among the miners of a model.
  std::size_t free_slots(const Digest& weights) const;

  // An answer of this node came to nothing: it counts as four times slower until measured again, also when
  // it comes back with a claim. A node that leaves with work under way is doubted for all its models.
  void doubt(AttachedNode& node, const Digest& weights);

  // Folds a measured decode speed into the node's average for that model.
  void measured(AttachedNode& node, const Digest& weights, double tokens_per_second);

  const std::map<protocol::LinkId, AttachedNode>& nodes() const { return nodes_; }

 private:
  AttachedNode* choose(protocol::Role role, const Digest& weights, const std::set<NodeId>& except,
                       const std::function<double(const AttachedModel&)>& speed);

  std::map<protocol::LinkId, AttachedNode> nodes_;
  std::map<std::pair<NodeId, Digest>, double> doubted_;  // the most that these count as, in tokens per second
};

}  // namespace cortensor::router
