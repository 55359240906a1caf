// The answer to one request, once its task is done: as OpenAI's API has it, with our proof.
#pragma once

#include "http/message.h"
#include "router/core/task.h"

namespace cortensor::router {

class Reply : public TaskListener {
 public:
  // Before anything is told.
  virtual void begin(const TaskId& task, const Standing& standing) = 0;
  // Of one that is not streamed, as a whole.
  virtual http::Response answer(const TaskResult& result) const = 0;
};

}  // namespace cortensor::router
