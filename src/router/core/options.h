// What the router's core is told from outside: versions, limits, times, and where its unpredictable numbers
// come from.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/units.h"

namespace cortensor::router {

struct CoreOptions {
  std::uint32_t arithmetic_version = 0;

  // Choices that wait for a free miner of one model, by class; one more is refused as overloaded.
  std::size_t max_queued = 256;
  std::size_t max_queued_batch = 1024;
  // How long they wait, unless their request has a deadline of its own.
  std::chrono::milliseconds queue_timeout{60'000};
  std::chrono::milliseconds batch_queue_timeout{900'000};
  // The least that a prompt's prefill may take, and a validator's replay; long ones get more (patience.h).
  std::chrono::milliseconds first_step_timeout{60'000};
  std::chrono::milliseconds stall_timeout{15'000};  // between two steps, and from the last one to the end
  std::chrono::milliseconds check_timeout{60'000};
  std::chrono::milliseconds hedge_least{1'000};  // no token is late before
  std::chrono::milliseconds heartbeat{5'000};    // a node silent for three of them is let go
  std::chrono::milliseconds tick{200};
  // Tokens of an answer after which its miner signs what there is of it: a page of the cache. A signature
  // takes a tenth of a millisecond, to make and to check.
  std::uint32_t segment_tokens = 64;
  std::size_t max_attempts = 8;       // of one choice; after that the task fails
  std::uint32_t strikes_allowed = 3;  // one more quarantines the node

  // Receipts kept in memory: at most so many, with so many transcript positions in all.
  std::size_t max_receipts = 4096;
  std::size_t max_receipt_positions = 2'000'000;

  // The session that a key without one gets.
  Credits implicit_budget{kMicroPerCredit};
  std::chrono::seconds implicit_lifetime{3600};
  std::chrono::seconds max_session_lifetime{30 * 24 * 3600};
  // For how long a session is this router's alone; zero: no other router has the ledger.
  std::chrono::milliseconds session_lease{0};

  // Decide spot checks and name tasks. Tests put their own here.
  std::function<std::uint64_t()> random;  // empty: crypto::random_u64
  std::function<std::string(std::string_view prefix, int characters)>
      make_name;  // empty: crypto::random_token
};

}  // namespace cortensor::router
