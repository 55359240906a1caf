// What everything in a simulation stands on, and the bugs that can be planted in it.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "disk.h"
#include "network.h"
#include "random.h"
#include "router/core/catalogue.h"
#include "tests/unit/support/manual_executor.h"
#include "trace.h"

namespace cortensor::simulation {

// Bugs that the checkers have to find. Each sits at a seam, none in the code under test.
enum class Fault : std::uint8_t {
  none,
  settled_twice,       // a settlement is booked under a second name too
  settlement_lost,     // what is reported as paid was never booked
  settlement_unheard,  // booked, but the router never hears of it: its task and its hold do not end
  paid_too_much,       // the miner gets a micro-credit that is not on the bill
  segment_stolen,      // who signed the end of an answer gets what others earned with its beginning
  invalid_paid,        // an answer proven wrong is paid all the same
  delta_twice,         // a client is told a part of its answer twice
  end_unheard,         // a client is never told that its task is done
  lies_accepted,       // the validators find everything valid
  truth_refused,       // they find everything invalid
  clock_stands,        // the router's wall clock does not move: sessions never expire
  syncs_ignored,       // the disk forgets what it said was safe
  steps_twice,         // the network says what nodes say twice
  last_words_lost,     // it swallows a miner's word that it has let go
  not_repeatable,      // something outside of the seed decides
};
inline constexpr std::size_t kFaults = 16;
std::string_view to_string(Fault fault);

struct World {
  World(std::uint64_t of, Fault planted, bool print)
      : seed(of),
        fault(planted),
        trace(timeline, print),
        networks{Network(timeline, trace, Random(of, "network")),
                 Network(timeline, trace, Random(of, "network 2"))} {}

  std::string name(std::string_view prefix) { return std::string(prefix) + std::to_string(++names); }
  bool forged(const Digest& request) const { return forged_requests.contains(request); }

  const std::uint64_t seed;
  const Fault fault;
  ManualExecutor timeline;
  Trace trace;
  Random random{seed, "world"};
  Disk disk{Random(seed, "disk")};
  Network networks[2];  // one for each router
  const router::ServedModel* model = nullptr;
  std::uint64_t names = 0;
  std::set<Digest> forged_requests;  // those that a miner who changes answers has been given
  std::set<NodeId> liars;
  // Their booking failed on a disk that did not sync: if the router dies then, they may be booked all the
  // same. Spec: docs/spec/ledger.md, 5
  std::set<TaskId> perhaps_booked;
};

}  // namespace cortensor::simulation
