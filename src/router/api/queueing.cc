#include "router/api/queueing.h"

#include <algorithm>
#include <charconv>

#include "http/status_map.h"

namespace cortensor::router {
namespace {

constexpr std::size_t kMaxTierBytes = 32;
constexpr std::int64_t kMaxDeadlineMs = 3'600'000;
constexpr std::chrono::seconds kLeastRetry{1}, kMostRetry{3600};

std::int64_t milliseconds_of(Clock::duration time) {
  return std::chrono::ceil<std::chrono::milliseconds>(time).count();
}

}  // namespace

Urgency read_urgency(BodyReader& body) {
  Urgency urgency;
  urgency.tier = body.text("service_tier", kMaxTierBytes).value_or("");
  if (urgency.tier == "auto") urgency.tier = "default";
  if (!urgency.tier.empty() && urgency.tier != "default" && urgency.tier != "flex")
    body.refuse("service_tier", "expected auto, default or flex");
  if (const auto deadline = body.integer("deadline_ms", 1, kMaxDeadlineMs))
    urgency.deadline = std::chrono::milliseconds(*deadline);
  return urgency;
}

Parsed<Urgency> with_header(Urgency urgency, const http::Request& request) {
  const auto header = request.header("Cortensor-Deadline-Ms");
  if (!header) return urgency;
  std::int64_t deadline = 0;
  const char* end = header->data() + header->size();
  const auto read = std::from_chars(header->data(), end, deadline);
  if (read.ec != std::errc{} || read.ptr != end || deadline < 1 || deadline > kMaxDeadlineMs)
    return refused(
        fail(ErrorKind::invalid_input, "deadline_ms: the header Cortensor-Deadline-Ms: expected 1 to " +
                                           std::to_string(kMaxDeadlineMs)),
        "deadline_ms");
  if (urgency.deadline && urgency.deadline->count() != deadline)
    return refused(
        fail(ErrorKind::invalid_input, "deadline_ms: the header Cortensor-Deadline-Ms names another one"),
        "deadline_ms");
  urgency.deadline = std::chrono::milliseconds(deadline);
  return urgency;
}

http::Headers queue_headers(const Standing& standing) {
  http::Headers headers = {{"Cortensor-Queue-Place", std::to_string(standing.place)}};
  if (standing.has_eta())
    headers.emplace_back("Cortensor-Queue-Eta-Ms", std::to_string(milliseconds_of(standing.eta)));
  return headers;
}

std::string queue_comment(const Standing& standing) {
  std::string comment = ": queue place=" + std::to_string(standing.place);
  if (standing.has_eta()) comment += " eta_ms=" + std::to_string(milliseconds_of(standing.eta));
  return comment + "\n\n";
}

http::Response refusal(const Error& error, Clock::duration retry_after) {
  http::Response response = http::error_response(error);
  if (error.kind != ErrorKind::overloaded) return response;
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(retry_after);
  response.headers.emplace_back("Retry-After",
                                std::to_string(std::clamp(seconds, kLeastRetry, kMostRetry).count()));
  return response;
}

}  // namespace cortensor::router
