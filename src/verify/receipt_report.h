// Checking a receipt at home, with nothing but the model file.
#pragma once

#include <string>
#include <vector>

#include "engine/engine.h"
#include "protocol/receipt.h"

namespace cortensor::verify {

struct ReceiptReport {
  std::vector<std::string> problems;  // of signatures, statements, prices and sums; empty when all is well
  bool replayed = false;              // the answer was recomputed
  protocol::Outcome outcome = protocol::Outcome::inconclusive;
  std::uint32_t first_wrong = 0;  // transcript index, when the outcome is invalid
  std::string reason;

  bool good() const { return problems.empty() && outcome == protocol::Outcome::valid; }
};

// What is wrong with a receipt as far as it shows without the model: protocol::problems_of(), with the
// roots over the tokens and digests in it.
std::vector<std::string> check_papers(const protocol::Receipt& receipt);

// Signatures and sums first, then the replay of the delivered transcript. Waits for the replay.
ReceiptReport check_receipt(const protocol::Receipt& receipt, engine::Engine& engine);

}  // namespace cortensor::verify
