// From what a request asks for to a running task, paid out of a session.
#pragma once

#include <memory>
#include <string>

#include "router/api/body_reader.h"
#include "router/core/router_core.h"

namespace cortensor::router {

struct Payer {
  AccountId account;
  std::string key_id;  // as the ledger names the key
  SessionId session;   // empty: the key's own
};

// The account and the session of `spec` are filled in here. The errors of SessionBook and RouterCore::submit.
Parsed<TaskId> start_task(RouterCore& core, const Payer& payer, TaskSpec spec,
                          std::shared_ptr<TaskListener> listener);

}  // namespace cortensor::router
