#include "router/core/settlement.h"

#include "protocol/canonical.h"

namespace cortensor::router {

Result<Credits> worst_case(ledger::Price price, const GenerationRequest& request, std::uint32_t copies,
                           bool replay) {
  const ledger::Usage usage{request.prompt.size(), answer_tokens(request, request.max_tokens)};
  const auto charge = ledger::charge(price, usage, {copies, replay ? 1u : 0u});
  if (!charge) return charge.error();
  return charge->total;
}

Result<protocol::Bill> make_bill(ledger::Price price, ledger::Usage usage, const Finding& finding,
                                 bool checks_are_paid, const NodeId& router) {
  protocol::Bill bill;
  bill.prompt_tokens = static_cast<std::uint32_t>(usage.prompt_tokens);
  bill.completion_tokens = static_cast<std::uint32_t>(usage.completion_tokens);
  bill.prompt_price = price.prompt.micro;
  bill.completion_price = price.completion.micro;
  if (finding.outcome == ledger::TaskOutcome::invalid || finding.outcome == ledger::TaskOutcome::failed)
    return bill;

  using Kind = protocol::Payment::Kind;
  std::vector<NodeId> validators;
  for (const protocol::Verdict& verdict : finding.verdicts)
    if (checks_are_paid && verdict.method == protocol::Method::replay &&
        verdict.outcome == protocol::Outcome::valid)
      validators.push_back(verdict.validator);
  const ledger::Shares shares{static_cast<std::uint32_t>(finding.commitments.size()),
                              static_cast<std::uint32_t>(validators.size())};
  const auto charge = ledger::charge(price, usage, shares);
  if (!charge) return charge.error();
  bill.payments = protocol::divide(charge->each_miner.micro, finding.commitments.front(), finding.segments);
  for (std::size_t i = 1; i < finding.commitments.size(); ++i)
    bill.payments.push_back({Kind::miner, finding.commitments[i].miner, charge->each_miner.micro});
  for (const NodeId& validator : validators)
    bill.payments.push_back({Kind::validator, validator, charge->each_validator.micro});
  bill.payments.push_back({Kind::router, router, charge->router.micro});
  bill.total = charge->total.micro;
  return bill;
}

protocol::Receipt make_receipt(ReceiptParts parts, Finding finding, protocol::Bill bill,
                               const crypto::PrivateKey& key) {
  protocol::Receipt receipt;
  receipt.id = std::move(parts.id);
  receipt.issued_ms = parts.issued.time_since_epoch().count();
  receipt.router = key.node_id();
  receipt.session = std::move(parts.session);
  receipt.task = std::move(parts.task);
  receipt.choice = parts.choice;
  receipt.level = parts.level;
  receipt.model = std::move(parts.model);
  receipt.request = std::move(parts.request);
  receipt.steps = std::move(parts.steps);
  receipt.commitments = std::move(finding.commitments);
  receipt.commitments.insert(receipt.commitments.end(), finding.segments.begin(), finding.segments.end());
  receipt.verdicts = std::move(finding.verdicts);
  receipt.bill = std::move(bill);
  receipt.signature = key.sign(protocol::signed_bytes(receipt));
  return receipt;
}

}  // namespace cortensor::router
