#include "engine/grammar_matcher.h"

#include <algorithm>
#include <utility>

namespace cortensor::engine {
namespace {

// Memory: about 1 KiB a state and 8 bytes a position.
constexpr std::size_t kManyStates = 1 << 14;
constexpr std::size_t kManyPositions = 1 << 22;
constexpr std::size_t kManyFrames = 1 << 20;

std::uint64_t pair_of(std::uint32_t a, std::uint32_t b) {
  return std::uint64_t{a} << 32 | b;
}

}  // namespace

GrammarMatcher::GrammarMatcher(std::shared_ptr<const Grammar> grammar) : grammar_(std::move(grammar)) {
  reset();
}

void GrammarMatcher::reset() {
  frames_.assign(1, {});
  frame_numbers_.clear();
  states_.clear();
  states_.emplace_back();  // kDead
  state_numbers_.clear();
  held_ = 0;
}

GrammarMatcher::State GrammarMatcher::start() {
  return closure({{grammar_->root, 0}});
}

GrammarMatcher::State GrammarMatcher::next(State state, std::uint8_t byte) {
  if (state == kDead) return kDead;
  if (!states_[state].next) {
    states_[state].next = std::make_unique<Transitions>();
    states_[state].next->to.fill(kUnknown);
  }
  if (const State known = states_[state].next->to[byte]; known != kUnknown) return known;
  std::vector<Position> work;
  std::size_t cost = 0;
  for (const Position& at : states_[state].positions) {
    const Grammar::Node& node = grammar_->nodes[at.node];
    cost += node.count;
    for (std::uint32_t i = node.first; i < node.first + node.count; ++i) {
      const Grammar::Edge& edge = grammar_->edges[i];
      if (byte >= edge.low && byte <= edge.high) work.push_back({edge.to, at.frame});
    }
  }
  seen_.clear();
  const State reached = work.empty() ? kDead : closure(std::move(work));
  states_[state].next->to[byte] = reached;
  states_[state].next->cost[byte] = static_cast<std::uint32_t>(cost + seen_.size());
  return reached;
}

// Everything that can be reached without reading.
GrammarMatcher::State GrammarMatcher::closure(std::vector<Position> work) {
  seen_.clear();
  std::vector<Position> reading;
  bool complete = false;
  while (!work.empty()) {
    const Position at = work.back();
    work.pop_back();
    if (!seen_.insert(pair_of(at.node, at.frame)).second) continue;
    if (seen_.size() > kMaxGrammarPositions) return kDead;
    const Grammar::Node& node = grammar_->nodes[at.node];
    switch (node.kind) {
      case Grammar::Kind::read:
        reading.push_back(at);
        break;
      case Grammar::Kind::split:
        for (std::uint32_t i = node.first; i < node.first + node.count; ++i)
          work.push_back({grammar_->targets[i], at.frame});
        break;
      case Grammar::Kind::call: {
        // A rule that ends where the called one ends has nothing to come back for.
        const std::uint32_t frame = node.count == kGrammarEnd ? at.frame : push(node.count, at.frame);
        if (frames_[frame].depth > kMaxGrammarDepth) return kDead;
        work.push_back({node.first, frame});
        break;
      }
      case Grammar::Kind::end:
        if (at.frame == 0)
          complete = true;
        else
          work.push_back({frames_[at.frame].node, frames_[at.frame].parent});
        break;
    }
  }
  std::sort(reading.begin(), reading.end());
  return number(std::move(reading), complete);
}

GrammarMatcher::State GrammarMatcher::number(std::vector<Position> positions, bool complete) {
  std::string key(reinterpret_cast<const char*>(positions.data()), positions.size() * sizeof(Position));
  key += complete ? '\1' : '\0';
  const auto [at, fresh] = state_numbers_.try_emplace(std::move(key), static_cast<State>(states_.size()));
  if (fresh) {
    held_ += positions.size();
    states_.push_back({std::move(positions), complete, nullptr});
  }
  return at->second;
}

std::uint32_t GrammarMatcher::push(std::uint32_t node, std::uint32_t parent) {
  const auto [at, fresh] =
      frame_numbers_.try_emplace(pair_of(node, parent), static_cast<std::uint32_t>(frames_.size()));
  if (fresh) frames_.push_back({node, parent, frames_[parent].depth + 1});
  return at->second;
}

bool GrammarMatcher::crowded() const {
  return states_.size() > kManyStates || held_ > kManyPositions || frames_.size() > kManyFrames;
}

void GrammarMatcher::forget_all_but(std::span<State> kept) {
  const std::vector<Frame> frames = std::move(frames_);
  const std::vector<StateData> states = std::move(states_);
  reset();
  // Parents are older than their frames, so one pass upwards and one down would do; few frames are in use, so
  // each is looked up when it is met.
  std::unordered_map<std::uint32_t, std::uint32_t> moved{{0, 0}};
  const auto move = [&](std::uint32_t frame) {
    std::vector<std::uint32_t> path;
    for (; !moved.contains(frame); frame = frames[frame].parent) path.push_back(frame);
    for (auto at = path.rbegin(); at != path.rend(); ++at)
      moved[*at] = push(frames[*at].node, moved[frames[*at].parent]);
    return moved[path.empty() ? frame : path.front()];
  };
  for (State& state : kept) {
    if (state == kDead) continue;
    std::vector<Position> positions = states[state].positions;
    for (Position& at : positions) at.frame = move(at.frame);
    std::sort(positions.begin(), positions.end());
    state = number(std::move(positions), states[state].complete);
  }
}

}  // namespace cortensor::engine
