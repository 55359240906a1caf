// What a task costs and who gets how much of it: pure arithmetic in micro-credits.   Spec:
// docs/spec/ledger.md, 2
#pragma once

#include <cstdint>

#include "base/result.h"
#include "base/units.h"

namespace cortensor::ledger {

// Per million tokens.
struct Price {
  Credits prompt{2'000'000};
  Credits completion{8'000'000};
  friend bool operator==(const Price&, const Price&) = default;
};

struct Usage {
  std::uint64_t prompt_tokens = 0;
  std::uint64_t completion_tokens = 0;
  friend bool operator==(const Usage&, const Usage&) = default;
};

// ceil(prompt tokens * price / 10^6) + ceil(completion tokens * price / 10^6).
// invalid_input for a negative price or a cost that does not fit 64 bits.
Result<Credits> base_cost(Price price, Usage usage);

// 25 % of the base cost, rounded up: the price of one verdict, paid to the validator. Precondition: base >=
// 0.
Credits validation_surcharge(Credits base);
// 5 % of the base cost, rounded down: the router's part of it; the miner gets the rest. Precondition: base >=
// 0.
Credits router_fee(Credits base);

// How many shares one answer has: `miners` that computed all of it (1, or n of a quorum), `verdicts` replays.
struct Shares {
  std::uint32_t miners = 1;
  std::uint32_t verdicts = 0;
};

// The parts of one answer's price. total = miners * each_miner + verdicts * each_validator + router.
struct Charge {
  Credits each_miner;
  Credits each_validator;
  Credits router;
  Credits total;
  friend bool operator==(const Charge&, const Charge&) = default;
};

// invalid_input as base_cost.
Result<Charge> charge(Price price, Usage usage, Shares shares);

}  // namespace cortensor::ledger
