#include "router/core/conduct.h"

#include "base/log.h"
#include "base/metrics.h"

namespace cortensor::router {

void Conduct::strike(const NodeId& node, std::string_view reason, const std::optional<Digest>& evidence) {
  reason = reason.substr(0, ledger::kMaxText);
  metrics::counter("cortensor_router_strikes_total", "Breaches of the protocol by nodes").add();
  log::warning("node_strike", {{"node", node.value}, {"reason", reason}});
  const auto strikes = ledger_.add_strike(node, reason, evidence, executor_.wall_now());
  if (!strikes) {
    log::error("strike_not_recorded", {{"node", node.value}, {"error", strikes.error().message}});
    return;
  }
  for (const protocol::Role role : {protocol::Role::miner, protocol::Role::validator})
    if (AttachedNode* attached = nodes_.find(node, role); attached != nullptr) attached->strikes = *strikes;
  if (*strikes > options_.strikes_allowed) quarantine(node, reason, evidence);
}

void Conduct::quarantine(const NodeId& node, std::string_view reason, const std::optional<Digest>& evidence) {
  reason = reason.substr(0, ledger::kMaxText);
  metrics::counter("cortensor_router_quarantines_total", "Nodes excluded for proven wrong work").add();
  log::warning("node_quarantined", {{"node", node.value}, {"reason", reason}});
  if (const auto status = ledger_.quarantine(node, reason, evidence, executor_.wall_now()); !status) {
    log::error("quarantine_not_recorded", {{"node", node.value}, {"error", status.error().message}});
    unwritten_.insert_or_assign(node, Unwritten{std::string(reason), evidence});
  }
  for (const protocol::Role role : {protocol::Role::miner, protocol::Role::validator}) {
    AttachedNode* attached = nodes_.find(node, role);
    if (attached == nullptr || attached->quarantined) continue;
    attached->quarantined = true;
    const Error why = fail(ErrorKind::forbidden, "quarantined: " + std::string(reason));
    links_.send(attached->link, protocol::Refusal{why.kind, why.message});
    links_.close(attached->link, why);
  }
}

Status Conduct::admissible(const NodeId& node) const {
  const auto found = unwritten_.find(node);
  if (found == unwritten_.end()) return ok();
  return fail(ErrorKind::forbidden, "quarantined: " + found->second.reason);
}

void Conduct::retry() {
  std::erase_if(unwritten_, [&](const auto& entry) {
    const auto& [node, what] = entry;
    return ledger_.quarantine(node, what.reason, what.evidence, executor_.wall_now()).has_value();
  });
}

}  // namespace cortensor::router
