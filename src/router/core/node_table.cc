#include "router/core/node_table.h"

#include <algorithm>
#include <utility>

namespace cortensor::router {

const AttachedModel* AttachedNode::model(const Digest& weights) const {
  for (const AttachedModel& model : models)
    if (model.weights == weights) return &model;
  return nullptr;
}

AttachedNode& NodeTable::add(AttachedNode node, std::span<const protocol::ModelOffer> offers) {
  for (std::size_t i = 0; i < node.models.size(); ++i) {
    AttachedModel& model = node.models[i];
    const auto [known, fresh] = records_.try_emplace({node.id, node.role, model.weights}, offers[i]);
    if (!fresh && known->second.answers() == 0) known->second.claim(offers[i]);
    model.record = &known->second;
  }
  const protocol::LinkId link = node.link;
  return nodes_.insert_or_assign(link, std::move(node)).first->second;
}

void NodeTable::remove(protocol::LinkId link) {
  const auto found = nodes_.find(link);
  if (found == nodes_.end()) return;
  const AttachedNode& node = found->second;
  if (node.busy > 0 && node.role == protocol::Role::miner)
    for (const AttachedModel& model : node.models)
      if (model.kv_reserved > 0) model.record->failed(executor_.now());
  nodes_.erase(found);
}

AttachedNode* NodeTable::find(protocol::LinkId link) {
  const auto found = nodes_.find(link);
  return found == nodes_.end() ? nullptr : &found->second;
}

bool NodeTable::heard(AttachedNode& node, const protocol::Heartbeat& beat) {
  const std::uint64_t before = std::uint64_t{node.elsewhere} + node.kept;
  node.elsewhere = std::min(beat.elsewhere_slots, node.slots);
  node.kept = std::min(beat.kept_slots, node.slots);
  bool freed = std::uint64_t{node.elsewhere} + node.kept < before;
  for (std::size_t i = 0; i < node.models.size(); ++i) {
    const std::size_t now = i < beat.elsewhere_positions.size() ? beat.elsewhere_positions[i] : 0;
    freed |= now < std::exchange(node.models[i].kv_elsewhere, now);
  }
  return freed;
}

AttachedNode* NodeTable::find(const NodeId& node, protocol::Role role) {
  for (auto& [link, attached] : nodes_)
    if (attached.id == node && attached.role == role) return &attached;
  return nullptr;
}

AttachedNode* NodeTable::choose_validator(const Digest& weights, const std::set<NodeId>& except) {
  AttachedNode* best = nullptr;
  double best_speed = 0;
  for (auto& [link, node] : nodes_) {
    if (node.role != protocol::Role::validator || !node.free() || except.contains(node.id)) continue;
    const AttachedModel* model = std::as_const(node).model(weights);
    if (model == nullptr) continue;
    const double speed = model->record->prefill_tokens_per_second() / (1.0 + node.busy + node.elsewhere);
    if (best == nullptr || speed > best_speed || (speed == best_speed && node.id < best->id)) {
      best = &node;
      best_speed = speed;
    }
  }
  return best;
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
      slots += node.free_slots();
  return slots;
}

Engagement NodeTable::engage(AttachedNode& miner, const Digest& weights, std::size_t prompt_tokens,
                             std::size_t cached_tokens, std::size_t positions) {
  AttachedModel& model = *miner.model(weights);
  ++miner.busy;
  model.prompt_tokens_ahead += prompt_tokens;
  model.kv_reserved += positions;
  return {miner.link,
          weights,
          miner.busy + miner.elsewhere,
          model.prompt_tokens_ahead,
          prompt_tokens,
          cached_tokens,
          positions,
          executor_.now(),
          0};
}

AttachedModel* NodeTable::model_of(const Engagement& engagement) {
  AttachedNode* node = find(engagement.link);
  return node == nullptr ? nullptr : node->model(engagement.weights);
}

void NodeTable::prompt_computed(Engagement& engagement) {
  if (AttachedModel* model = model_of(engagement); model != nullptr)
    model->prompt_tokens_ahead -= engagement.own_tokens;
  engagement.own_tokens = 0;
}

void NodeTable::release(Engagement& engagement) {
  prompt_computed(engagement);
  AttachedNode* node = find(engagement.link);
  if (node == nullptr) return;
  --node->busy;
  node->model(engagement.weights)->kv_reserved -= engagement.positions;
}

double NodeTable::token_now(const Engagement& engagement) {
  const AttachedModel* model = model_of(engagement);
  if (model == nullptr) return 0;
  const AttachedNode& miner = *find(engagement.link);
  return model->record->token(miner.busy + miner.elsewhere);
}

void NodeTable::saw_first_token(const Engagement& engagement) {
  const std::chrono::duration<double> seconds = executor_.now() - engagement.since;
  if (AttachedModel* model = model_of(engagement); model != nullptr)
    model->record->saw_first_token(engagement.prompt_tokens, seconds.count(), executor_.now());
}

void NodeTable::saw_tokens(const Engagement& engagement, double tokens_per_second) {
  if (AttachedModel* model = model_of(engagement); model != nullptr && tokens_per_second > 0)
    model->record->saw_tokens(engagement.answers, 1 / tokens_per_second, executor_.now());
}

void NodeTable::succeeded(const Engagement& engagement, std::size_t cached_tokens) {
  AttachedModel* model = model_of(engagement);
  if (model == nullptr) return;
  model->record->succeeded(executor_.now());
  if (engagement.cached_tokens > 0)
    model->record->saw_cached(
        static_cast<double>(cached_tokens) / static_cast<double>(engagement.cached_tokens), executor_.now());
}

void NodeTable::failed(const NodeId& miner, const Digest& weights) {
  if (const auto known = records_.find({miner, protocol::Role::miner, weights}); known != records_.end())
    known->second.failed(executor_.now());
}

}  // namespace cortensor::router
