#include "router/core/node_table.h"

#include <algorithm>
#include <cmath>

namespace cortensor::router {
namespace {

// How much one new measurement moves the average.
constexpr double kSpeedWeight = 0.3;
// What a node's speed is divided by when an answer of it came to nothing.
constexpr double kDoubt = 4;
// What a node counts as when it offered no usable number.
constexpr double kUnknownSpeed = 0.001;
// More than any one machine answers a single sequence with; a boast beyond it would outlive every
// measurement.
constexpr double kMaxClaimedSpeed = 10'000;

}  // namespace

double credible_speed(double claimed) {
  return std::isfinite(claimed) && claimed > 0 ? std::min(claimed, kMaxClaimedSpeed) : kUnknownSpeed;
}

const AttachedModel* AttachedNode::model(const Digest& weights) const {
  for (const AttachedModel& model : models)
    if (model.weights == weights) return &model;
  return nullptr;
}

AttachedNode& NodeTable::add(AttachedNode node) {
  const protocol::LinkId link = node.link;
  if (node.role == protocol::Role::miner)
    for (AttachedModel& model : node.models)
      if (const auto known = doubted_.find({node.id, model.weights}); known != doubted_.end())
        model.decode_tokens_per_second = std::min(model.decode_tokens_per_second, known->second);
  return nodes_.insert_or_assign(link, std::move(node)).first->second;
}

void NodeTable::remove(protocol::LinkId link) {
  const auto found = nodes_.find(link);
  if (found == nodes_.end()) return;
  AttachedNode& node = found->second;
  if (node.busy > 0 && node.role == protocol::Role::miner)
    for (const AttachedModel& model : node.models) doubt(node, model.weights);
  nodes_.erase(found);
}

AttachedNode* NodeTable::find(protocol::LinkId link) {
  const auto found = nodes_.find(link);
  return found == nodes_.end() ? nullptr : &found->second;
}

AttachedNode* NodeTable::find(const NodeId& node, protocol::Role role) {
  for (auto& [link, attached] : nodes_)
    if (attached.id == node && attached.role == role) return &attached;
  return nullptr;
}

AttachedNode* NodeTable::choose(protocol::Role role, const Digest& weights, const std::set<NodeId>& except,
                                const std::function<double(const AttachedModel&)>& speed) {
  AttachedNode* best = nullptr;
  double best_score = 0;
  for (auto& [link, node] : nodes_) {
    if (node.role != role || !node.free() || except.contains(node.id)) continue;
    const AttachedModel* model = node.model(weights);
    if (model == nullptr) continue;
    const double known = speed(*model);
    const double score = (std::isfinite(known) && known > 0 ? known : kUnknownSpeed) / (node.busy + 1);
    if (best == nullptr || score > best_score || (score == best_score && node.id < best->id)) {
      best = &node;
      best_score = score;
    }
  }
  return best;
}

AttachedNode* NodeTable::choose_miner(const Digest& weights, const std::set<NodeId>& except) {
  return choose(protocol::Role::miner, weights, except,
                [](const AttachedModel& model) { return model.decode_tokens_per_second; });
}

AttachedNode* NodeTable::choose_validator(const Digest& weights, const std::set<NodeId>& except) {
  return choose(protocol::Role::validator, weights, except,
                [](const AttachedModel& model) { return model.prefill_tokens_per_second; });
}

std::size_t NodeTable::count(protocol::Role role, const Digest& weights,
                             const std::set<NodeId>& except) const {
  return static_cast<std::size_t>(std::count_if(nodes_.begin(), nodes_.end(), [&](const auto& entry) {
    const AttachedNode& node = entry.second;
    return node.role == role && !node.quarantined && node.model(weights) != nullptr &&
           !except.contains(node.id);
  }));
}

std::size_t NodeTable::free_slots(const Digest& weights) const {
  std::size_t slots = 0;
  for (const auto& [link, node] : nodes_)
    if (node.role == protocol::Role::miner && node.free() && node.model(weights) != nullptr)
      slots += node.slots - node.busy;
  return slots;
}

void NodeTable::doubt(AttachedNode& node, const Digest& weights) {
  for (AttachedModel& model : node.models)
    if (model.weights == weights) doubted_[{node.id, weights}] = model.decode_tokens_per_second /= kDoubt;
}

void NodeTable::measured(AttachedNode& node, const Digest& weights, double tokens_per_second) {
  if (!std::isfinite(tokens_per_second) || tokens_per_second <= 0) return;
  doubted_.erase({node.id, weights});
  for (AttachedModel& model : node.models)
    if (model.weights == weights)
      model.decode_tokens_per_second =
          model.decode_tokens_per_second <= 0
              ? tokens_per_second
              : (1 - kSpeedWeight) * model.decode_tokens_per_second + kSpeedWeight * tokens_per_second;
}

}  // namespace cortensor::router
