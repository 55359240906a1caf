#include "router/core/task.h"

#include <algorithm>

#include "protocol/canonical.h"

namespace cortensor::router {

Choice::Choice(std::uint32_t at, GenerationRequest what, const ServedModel& model)
    : index(at),
      request(std::move(what)),
      request_digest(protocol::request_digest(model.manifest.weights, request)),
      text(request, model.tokenizer, model.manifest.context_length) {}

Attempt* Choice::lead() {
  for (const auto& attempt : attempts)
    if (attempt->id() == lead_id) return attempt.get();
  return nullptr;
}

void Choice::shorten(std::size_t count, const ServedModel& model) {
  delivered.resize(std::min(count, delivered.size()));
  text = engine::TextStream(request, model.tokenizer, model.manifest.context_length);
  for (const Step& step : delivered) text.feed(step.token);
  lead_id = {};
}

bool Choice::all_finished() const {
  return !attempts.empty() && std::all_of(attempts.begin(), attempts.end(),
                                          [](const auto& one) { return one->commitment().has_value(); });
}

}  // namespace cortensor::router
