// What happens to nodes that misbehave: strikes, and quarantine with evidence, in the ledger and at once.
#pragma once

#include <optional>
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

 private:
  ledger::Ledger& ledger_;
  NodeTable& nodes_;
  protocol::RouterLinks& links_;
  const Executor& executor_;
  const CoreOptions& options_;
};

}  // namespace cortensor::router
