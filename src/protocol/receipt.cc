#include "protocol/receipt.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/hex.h"
#include "crypto/ed25519.h"
#include "protocol/canonical.h"

namespace cortensor::protocol {
namespace {

using Problems = std::vector<std::string>;

void check_commitments(const Receipt& receipt, const RootOf& root_of, Problems& problems) {
  if (receipt.commitments.empty()) problems.push_back("commitments: expected at least one, found none");
  std::uint32_t signed_before = 0;
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
    if (i > 0 && commitment.finish)
      continue;  // a quorum's dissenters may differ in what follows; the delivered transcript may not
    if (i == 0 && !commitment.finish) problems.push_back(name + "it is not to a whole answer");
    if (commitment.finish ? commitment.count != receipt.steps.size()
                          : commitment.count > receipt.steps.size()) {
      problems.push_back(name + "expected " + std::to_string(commitment.count) +
                         " positions in the transcript, found " + std::to_string(receipt.steps.size()));
    } else if (const Digest root = root_of(std::span(receipt.steps).first(commitment.count));
               commitment.root != root) {
      problems.push_back(name + "expected transcript root " + to_hex(commitment.root) + ", found " +
                         to_hex(root) + ": a token or digest was changed");
    }
    if (commitment.finish) continue;
    if (commitment.count <= signed_before)
      problems.push_back(name + "expected more than the " + std::to_string(signed_before) +
                         " positions signed before it, found " + std::to_string(commitment.count));
    signed_before = commitment.count;
  }
}

std::vector<Commitment> segments_of(const Receipt& receipt) {
  std::vector<Commitment> segments;
  std::copy_if(receipt.commitments.begin(), receipt.commitments.end(), std::back_inserter(segments),
               [](const Commitment& one) { return !one.finish; });
  return segments;
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

  const std::vector<Commitment> segments = segments_of(receipt);
  if (!segments.empty() && !bill.payments.empty()) {
    std::vector<Payment> miners;
    std::copy_if(bill.payments.begin(), bill.payments.end(), std::back_inserter(miners),
                 [](const Payment& one) { return one.kind == Payment::Kind::miner; });
    std::int64_t earned = 0;
    for (const Payment& payment : miners) earned += payment.amount;
    if (miners != divide(earned, receipt.commitments.front(), segments))
      problems.push_back("bill: the miners' payments are not divided by the tokens that each has signed");
  }

  const std::int64_t base = part_cost(bill.prompt_tokens, bill.prompt_price) +
                            part_cost(bill.completion_tokens, bill.completion_price);
  std::int64_t replays = 0;
  for (const Verdict& verdict : receipt.verdicts) replays += verdict.method == Method::replay;
  const std::int64_t most = base * static_cast<std::int64_t>(receipt.commitments.size() - segments.size()) +
                            replays * ((base + 3) / 4);
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

std::vector<Payment> divide(std::int64_t amount, const Commitment& whole,
                            std::span<const Commitment> segments) {
  std::vector<Payment> payments;
  std::int64_t rest = amount;
  std::uint32_t before = 0;
  const auto payment_of = [&](const NodeId& miner) -> Payment& {
    const auto found = std::find_if(payments.begin(), payments.end(),
                                    [&](const Payment& one) { return one.party == miner; });
    return found != payments.end() ? *found : payments.emplace_back(Payment{Payment::Kind::miner, miner, 0});
  };
  payment_of(whole.miner);
  for (const Commitment& segment : segments) {
    if (segment.count <= before || segment.count > whole.count) continue;
    const auto tokens = static_cast<unsigned __int128>(segment.count - std::exchange(before, segment.count));
    const auto part = static_cast<std::int64_t>(tokens * static_cast<std::uint64_t>(amount) / whole.count);
    payment_of(segment.miner).amount += part;
    rest -= part;
  }
  payment_of(whole.miner).amount += rest;
  return payments;
}

std::vector<std::string> problems_of(const Receipt& receipt, const RootOf& root_of) {
  Problems problems;
  check_commitments(receipt, root_of, problems);
  check_verdicts(receipt, problems);
  check_bill(receipt, problems);
  if (!crypto::verify(receipt.router, signed_bytes(receipt), receipt.signature))
    problems.push_back("receipt: the signature is not of router " + receipt.router.value +
                       " over these contents: something was changed after it was issued");
  return problems;
}

}  // namespace cortensor::protocol
