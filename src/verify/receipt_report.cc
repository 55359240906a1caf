#include "verify/receipt_report.h"

#include "engine/transcript.h"

namespace cortensor::verify {

std::vector<std::string> check_papers(const protocol::Receipt& receipt) {
  return protocol::problems_of(receipt, engine::transcript_root);
}

ReceiptReport check_receipt(const protocol::Receipt& receipt, engine::Engine& engine) {
  ReceiptReport report;
  report.problems = check_papers(receipt);
  if (receipt.commitments.empty() || !receipt.commitments.front().finish) {
    report.reason = "the receipt has no miner's commitment to the whole answer";
    return report;
  }

  // The replay runs even when a signature is wrong, so that it can point at the position that was changed; so
  // it compares tokens and digests directly and does not ask whether the commitment fits them.
  if (receipt.model.weights != engine.info().weights_digest) {
    report.reason = "the receipt is about another model file than the one given";
    return report;
  }
  const auto result = engine.replay(receipt.request, receipt.steps, *receipt.commitments.front().finish);
  if (!result) {
    report.reason = result.error().message;
    return report;
  }
  report.replayed = true;
  report.outcome = result->valid() ? protocol::Outcome::valid : protocol::Outcome::invalid;
  report.first_wrong = static_cast<std::uint32_t>(result->position);
  if (!result->valid())
    report.reason = std::string(engine::to_string(result->finding)) + ": expected " + result->expected +
                    ", found " + result->found;
  return report;
}

}  // namespace cortensor::verify
