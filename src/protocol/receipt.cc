#include "protocol/receipt.h"

#include "base/hex.h"
#include "crypto/ed25519.h"
#include "protocol/canonical.h"

namespace cortensor::protocol {
namespace {

using Problems = std::vector<std::string>;

void check_commitments(const Receipt& receipt, const Digest& root, Problems& problems) {
  if (receipt.commitments.empty()) problems.push_back("commitments: expected at least one, found none");
  const Digest request = request_digest(receipt.model.weights, receipt.request);
  for (std::size_t i = 0; i < receipt.commitments.size(); ++i) {
    const Commitment& commitment = receipt.commitments[i];
    const std::string name = "commitment " + std::to_string(i) + ": ";
    if (!crypto::verify(commitment.miner, signed_bytes(commitment), commitment.signature))
      problems.push_back(name + "the signature is not of miner " + commitment.miner.value);
    if (commitment.model != receipt.model.weights)
      problems.push_back(name + "expected model " + to_hex(receipt.model.weights) + ", found " +
                         to_hex(commitment.model));
    if (commitment.request != request)
      problems.push_back(name + "it speaks of another request: the prompt or a parameter was changed");
    if (i > 0)
      continue;  // a quorum's dissenters may differ in what follows; the delivered transcript may not
    if (commitment.count != receipt.steps.size())
      problems.push_back(name + "expected " + std::to_string(commitment.count) +
                         " positions in the transcript, found " + std::to_string(receipt.steps.size()));
    else if (commitment.root != root)
      problems.push_back(name + "expected transcript root " + to_hex(commitment.root) + ", found " +
                         to_hex(root) + ": a token or digest was changed");
  }
}

void check_verdicts(const Receipt& receipt, Problems& problems) {
  for (std::size_t i = 0; i < receipt.verdicts.size(); ++i) {
    const Verdict& verdict = receipt.verdicts[i];
    const std::string name = "verdict " + std::to_string(i) + ": ";
    if (!crypto::verify(verdict.validator, signed_bytes(verdict), verdict.signature))
      problems.push_back(name + "the signature is not of validator " + verdict.validator.value);
    bool known = false, own_work = false;
    for (const Commitment& commitment : receipt.commitments) {
      known |= verdict.commitment == commitment_digest(commitment);
      own_work |= verdict.method == Method::replay && verdict.validator == commitment.miner;
    }
    if (!known) problems.push_back(name + "it speaks of a commitment that is not in this receipt");
    if (own_work) problems.push_back(name + "a miner judged its own work");
    if (verdict.method == Method::quorum && verdict.validator != receipt.router)
      problems.push_back(name + "a quorum is counted by the router, found " + verdict.validator.value);
  }
}

// ceil(tokens * price / 1e6); receipt_from_json limits the price so that this fits.
std::int64_t part_cost(std::uint32_t tokens, std::int64_t price) {
  return static_cast<std::int64_t>(
      (static_cast<unsigned __int128>(tokens) * static_cast<std::uint64_t>(price) + 999'999) / 1'000'000);
}

void check_bill(const Receipt& receipt, Problems& problems) {
  const Bill& bill = receipt.bill;
  if (bill.prompt_tokens != receipt.request.prompt.size())
    problems.push_back("bill: expected " + std::to_string(receipt.request.prompt.size()) +
                       " prompt tokens, found " + std::to_string(bill.prompt_tokens));
  if (const std::size_t answer = answer_tokens(receipt.request, receipt.steps.size());
      bill.completion_tokens != answer)
    problems.push_back("bill: expected " + std::to_string(answer) + " completion tokens, found " +
                       std::to_string(bill.completion_tokens));
  std::int64_t sum = 0;
  for (const Payment& payment : bill.payments) sum += payment.amount;
  if (sum != bill.total)
    problems.push_back("bill: expected the payments to add up to the total " + std::to_string(bill.total) +
                       ", found " + std::to_string(sum));

  const std::int64_t base = part_cost(bill.prompt_tokens, bill.prompt_price) +
                            part_cost(bill.completion_tokens, bill.completion_price);
  std::int64_t replays = 0;
  for (const Verdict& verdict : receipt.verdicts) replays += verdict.method == Method::replay;
  const std::int64_t most =
      base * static_cast<std::int64_t>(receipt.commitments.size()) + replays * ((base + 3) / 4);
  if (bill.total > most)
    problems.push_back("bill: expected at most " + std::to_string(most) +
                       " micro-credits by its prices, found " + std::to_string(bill.total));
}

}  // namespace

std::string_view to_string(Payment::Kind kind) {
  switch (kind) {
    case Payment::Kind::miner:
      return "miner";
    case Payment::Kind::validator:
      return "validator";
    case Payment::Kind::router:
      return "router";
  }
  return "router";
}

std::string_view to_string(ValidationLevel level) {
  switch (level) {
    case ValidationLevel::none:
      return "none";
    case ValidationLevel::spot:
      return "spot";
    case ValidationLevel::full:
      return "full";
    case ValidationLevel::quorum:
      return "quorum";
  }
  return "none";
}

Result<ValidationLevel> validation_level_from(std::string_view name) {
  for (const auto level :
       {ValidationLevel::none, ValidationLevel::spot, ValidationLevel::full, ValidationLevel::quorum})
    if (to_string(level) == name) return level;
  return fail(ErrorKind::invalid_input,
              "validation level: expected none, spot, full or quorum, found '" + std::string(name) + "'");
}

std::vector<std::string> problems_of(const Receipt& receipt, const Digest& merkle_root) {
  Problems problems;
  check_commitments(receipt, merkle_root, problems);
  check_verdicts(receipt, problems);
  check_bill(receipt, problems);
  if (!crypto::verify(receipt.router, signed_bytes(receipt), receipt.signature))
    problems.push_back("receipt: the signature is not of router " + receipt.router.value +
                       " over these contents: something was changed after it was issued");
  return problems;
}

}  // namespace cortensor::protocol
