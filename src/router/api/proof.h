// The member `cortensor` of a reply: what became of its task, and where its receipts are.
#pragma once

#include "router/api/body_reader.h"
#include "router/core/task.h"

namespace cortensor::router {

Json proof_of(const TaskResult& result);

}  // namespace cortensor::router
