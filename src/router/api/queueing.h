// What clients say about waiting, and what they are told of it. Spec: docs/spec/http-api.md, 5.1
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "http/message.h"
#include "router/api/body_reader.h"
#include "router/core/task.h"

namespace cortensor::router {

struct Urgency {
  std::string tier;  // of service, as it is answered: default or flex; empty: the client named none
  std::optional<std::chrono::milliseconds> deadline;

  QueueClass queue_class() const { return tier == "flex" ? QueueClass::batch : QueueClass::interactive; }
};

Urgency read_urgency(BodyReader& body);
// What the header Cortensor-Deadline-Ms says in place of the body.
Parsed<Urgency> with_header(Urgency urgency, const http::Request& request);

// For the answer of a request that stood there when it was taken.
http::Headers queue_headers(const Standing& standing);
// The same as a comment between server-sent events.
std::string queue_comment(const Standing& standing);
// The error's answer; of a queue too long it says when to come again.
http::Response refusal(const Error& error, Clock::duration retry_after);

}  // namespace cortensor::router
