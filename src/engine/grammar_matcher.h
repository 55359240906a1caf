// Follows bytes through a grammar. What the bytes so far allow next is a *state*: the set of all positions in
// the grammar that they can have led to, each with the rules that are under way there. States are numbered
// and their transitions kept, so that a text is followed at the cost of a table.   Spec: grammar.md
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "engine/grammar.h"

namespace cortensor::engine {

// A byte that leads beyond these is not allowed.
inline constexpr std::size_t kMaxGrammarPositions = 4096;  // looked at for one byte
inline constexpr std::uint32_t kMaxGrammarDepth = 512;     // rules under way in one another

class GrammarMatcher {
 public:
  using State = std::uint32_t;
  static constexpr State kDead = 0;

  explicit GrammarMatcher(std::shared_ptr<const Grammar> grammar);

  State start();  // kDead: the grammar exceeds the limits before its first byte
  State next(State state, std::uint8_t byte);
  // Edges and positions looked at for that step: the same whatever is remembered. next() was called for it.
  std::size_t cost(State state, std::uint8_t byte) const { return states_[state].next->cost[byte]; }
  bool complete(State state) const { return states_[state].complete; }

  // When true, memory should be made free by forgetting states.
  bool crowded() const;
  // Forgets all states but these, which get new numbers.
  void forget_all_but(std::span<State> kept);

 private:
  // A rule under way: where it goes on, and what goes on behind it. 0: nothing.
  struct Frame {
    std::uint32_t node = 0, parent = 0, depth = 0;
  };
  struct Position {
    std::uint32_t node = 0, frame = 0;
    friend auto operator<=>(const Position&, const Position&) = default;
  };
  struct Transitions {
    std::array<State, 256> to;  // kUnknown where not computed yet
    std::array<std::uint32_t, 256> cost;
  };
  struct StateData {
    std::vector<Position> positions;  // reading nodes, ascending
    bool complete = false;
    std::unique_ptr<Transitions> next;
  };
  static constexpr State kUnknown = ~State{0};

  State closure(std::vector<Position> work);
  State number(std::vector<Position> positions, bool complete);
  std::uint32_t push(std::uint32_t node, std::uint32_t parent);
  void reset();

  std::shared_ptr<const Grammar> grammar_;
  std::vector<Frame> frames_;
  std::unordered_map<std::uint64_t, std::uint32_t> frame_numbers_;
  std::vector<StateData> states_;
  std::unordered_map<std::string, State> state_numbers_;
  std::size_t held_ = 0;  // positions in all states
  std::unordered_set<std::uint64_t> seen_;
};

}  // namespace cortensor::engine
