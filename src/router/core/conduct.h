// What happens to nodes that misbehave: strikes, and quarantine with evidence, in the ledger and at once.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/generation.h"
#include "ledger/ledger.h"
#include "protocol/link.h"
#include "router/core/node_table.h"
#include "router/core/options.h"

namespace cortensor::router {

class Conduct {
 public:
  // All arguments outlive the object.
  Conduct(ledger::Ledger& ledger, NodeTable& nodes, protocol::RouterLinks& links, const Executor& executor,
          const CoreOptions& options)
      : ledger_(ledger), nodes_(nodes), links_(links), executor_(executor), options_(options) {}

  // A breach of the protocol that proves nothing about the node's arithmetic. Too many of them: quarantine.
  void strike(const NodeId& node, std::string_view reason,
              const std::optional<Digest>& evidence = std::nullopt);
  // Proven wrong: the node gets no more work and its links are closed.
  void quarantine(const NodeId& node, std::string_view reason, const std::optional<Digest>& evidence);
  // forbidden: the node is quarantined and the ledger does not know it yet. What the ledger knows it says
  // itself.
  Status admissible(const NodeId& node) const;
  // Writes down what could not be written before. Now and then.
  void retry();

 private:
  struct Unwritten {
    std::string reason;
    std::optional<Digest> evidence;
  };

  ledger::Ledger& ledger_;
  NodeTable& nodes_;
  protocol::RouterLinks& links_;
  const Executor& executor_;
  const CoreOptions& options_;
  std::map<NodeId, Unwritten> unwritten_;  // quarantines that the ledger could not take
};

}  // namespace cortensor::router
