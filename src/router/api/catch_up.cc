#include "router/api/catch_up.h"

#include <algorithm>

namespace cortensor::router {

CatchUp::CatchUp(const Progress& point, const GenerationRequest& request, const ServedModel& model)
    : point_(point), beginning_(request, model.tokenizer, model.manifest.context_length), text_(beginning_) {}

std::optional<Delta> CatchUp::pass(const Delta& delta) {
  std::size_t steps = 0, bytes = 0;
  for (; behind() && steps < delta.steps.size(); ++steps) {
    bytes += text_.feed(delta.steps[steps].token).text.size();
    at_.add(delta.steps[steps].token);
  }
  if (!behind() && at_.trace != point_.trace) return std::nullopt;
  return Delta{delta.choice, delta.text.substr(std::min(bytes, delta.text.size())),
               delta.steps.subspan(steps), delta.logprobs.subspan(std::min(steps, delta.logprobs.size()))};
}

void CatchUp::restart() {
  text_ = beginning_;
  at_ = {};
}

}  // namespace cortensor::router
