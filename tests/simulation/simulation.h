// One seed: a network of routers, nodes and clients is drawn from it, lives for half a minute of simulated
// time among accidents, is let come to rest, and is checked.
#pragma once

#include <cstdint>
#include <string>

#include "world.h"

namespace cortensor::simulation {

struct Outcome {
  std::string violation;                                        // the first; empty when there was none
  std::string hash;                                             // of everything that happened
  std::size_t done = 0, failed = 0, cancelled = 0, broken = 0;  // tasks by their end
  bool clean() const { return violation.empty(); }
};

// The same seed gives the same outcome, always.
Outcome simulate(std::uint64_t seed, Fault fault = Fault::none, bool print = false);

}  // namespace cortensor::simulation
