#include "router/core/task.h"

#include <algorithm>

#include "protocol/canonical.h"

namespace cortensor::router {

Choice::Choice(std::uint32_t at, GenerationRequest what, const ServedModel& model)
    : index(at),
      request(std::move(what)),
      request_digest(protocol::request_digest(model.manifest.weights, request)),
      text(request, model.tokenizer, model.manifest.context_length) {}

Attempt* Choice::find(const AttemptId& attempt) {
  for (const auto& one : attempts)
    if (one->id() == attempt) return one.get();
  return nullptr;
}

Attempt* Choice::lead() {
  return find(lead_id);
}

bool Choice::all_finished() const {
  return !attempts.empty() && std::all_of(attempts.begin(), attempts.end(),
                                          [](const auto& one) { return one->commitment().has_value(); });
}

}  // namespace cortensor::router
