// Why a miner was given an answer: who could have had it, what was expected of each, and who was left out for
// what. Shown by GET /v1/tasks/{id}/why.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "protocol/link.h"

namespace cortensor::router {

// A miner that could begin now. Times are expected ones, in seconds from the assignment.
struct Candidate {
  protocol::LinkId link = 0;
  NodeId miner;
  double first_token = 0;
  double last_token = 0;
  double reliability = 1;
  double cost = 0;                // by which candidates are compared; the least is best
  std::uint32_t busy = 0;         // answers it works on already
  std::size_t cached_tokens = 0;  // of the prompt, as far as the router knows
  bool on_probation = false;
};

struct Exclusion {
  NodeId miner;
  std::string_view reason;
};

struct Decision {
  static constexpr std::size_t kListed = 16;  // of each list at most

  AttemptId attempt;
  std::uint32_t choice = 0;
  std::size_t given_tokens = 0;       // of the answer, by miners before it
  std::size_t able = 0;               // candidates in all
  std::vector<Candidate> candidates;  // the least cost first
  std::vector<Exclusion> excluded;
  NodeId chosen;
  std::size_t cached_tokens = 0;  // that it is thought to have
  double first_token = 0;         // expected of it
  std::string_view rule;          // by which it was chosen among them
};

}  // namespace cortensor::router
