// Who is paid for an answer, and the receipt that says so. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "crypto/ed25519.h"
#include "ledger/pricing.h"
#include "ledger/types.h"
#include "protocol/receipt.h"

namespace cortensor::router {

// What became of one choice.
struct Finding {
  ledger::TaskOutcome outcome = ledger::TaskOutcome::unchecked;
  std::vector<protocol::Commitment> commitments;  // equal ones; the delivered one first
  std::vector<protocol::Commitment> segments;     // to the beginning of the delivered one, by rising count
  std::vector<protocol::Verdict> verdicts;
};

// The most that one choice can cost: `copies` miners, an answer of full length, and a replay if there may be
// one.
Result<Credits> worst_case(ledger::Price price, const GenerationRequest& request, std::uint32_t copies,
                           bool replay);

// Every miner that committed is paid, the first one with those that signed a beginning; a validator for a
// VALID found by replay, the router its part; nobody when the outcome is invalid. `checks_are_paid`: false
// where the client asked for none, and the router checked on its own account.
Result<protocol::Bill> make_bill(ledger::Price price, ledger::Usage usage, const Finding& finding,
                                 bool checks_are_paid, const NodeId& router);

// Everything about a choice but its signature.
struct ReceiptParts {
  std::string id;
  WallTime issued;
  SessionId session;
  TaskId task;
  std::uint32_t choice = 0;
  protocol::ValidationLevel level = protocol::ValidationLevel::none;
  protocol::ModelManifest model;
  GenerationRequest request;
  std::vector<Step> steps;
};
protocol::Receipt make_receipt(ReceiptParts parts, Finding finding, protocol::Bill bill,
                               const crypto::PrivateKey& key);

}  // namespace cortensor::router
