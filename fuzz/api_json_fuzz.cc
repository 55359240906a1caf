// Any bytes as the body of a completion or embedding request, or as the id of an event: refused with the
// field's name, or within the documented limits.
#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "base/check.h"
#include "router/api/completion_request.h"
#include "router/api/embedding_request.h"
#include "router/api/event_id.h"

namespace cortensor {
namespace {

void check(const router::Parsed<router::CompletionCall>& call) {
  if (!call) {
    CORTENSOR_CHECK(!call.error().error.message.empty());
    return;
  }
  CORTENSOR_CHECK(call->sampling.temperature >= 0 && call->sampling.temperature <= 2);
  CORTENSOR_CHECK(call->sampling.top_p > 0 && call->sampling.top_p <= 1);
  CORTENSOR_CHECK(call->sampling.min_p >= 0 && call->sampling.min_p < 1);
  CORTENSOR_CHECK(call->n >= 1 && call->n <= router::kMaxChoices);
  CORTENSOR_CHECK(call->prompts.size() <= router::kMaxBatch);
  CORTENSOR_CHECK(!call->max_tokens || *call->max_tokens >= 1);
}

}  // namespace
}  // namespace cortensor

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view body = cortensor::text_of({data, size});
  cortensor::check(cortensor::router::parse_chat(body));
  cortensor::check(cortensor::router::parse_completion(body));
  if (const auto call = cortensor::router::parse_embedding(body))
    CORTENSOR_CHECK(!call->input.empty() && call->input.size() <= cortensor::router::kMaxInputs);
  if (const auto id = cortensor::router::parse_event_id(body)) {
    std::string spelt = cortensor::router::text_of_run(*id);
    for (const auto& choice : id->choices) spelt += cortensor::router::text_of(choice);
    CORTENSOR_CHECK(spelt == body);
  }
  return 0;
}
