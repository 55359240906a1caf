// The id of an event in a stream. Who has lost a stream sends the same request again, to any router, with the
// id of the last event: it says what the client did not choose itself, and how much of each choice it has.
// Nothing in it is secret, and who makes up another one harms nobody else: the task's name, by which a choice
// is paid once, follows from the whole request. Spec: docs/spec/http-api.md, 3.1
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/generation.h"
#include "base/ids.h"
#include "base/result.h"

namespace cortensor::router {

inline constexpr std::size_t kMaxEventIdBytes = 4096;

// How much of a choice a client has.
struct Progress {
  bool begun = false;        // an event has told of it
  bool finished = false;     // and of its end
  std::uint32_t tokens = 0;  // of which it has the text
  std::uint64_t trace = 0;   // over these
  void add(TokenId token);
  friend bool operator==(const Progress&, const Progress&) = default;
};

struct EventId {
  std::uint64_t nonce = 0;  // tells this answer from others to the same request
  std::uint64_t seed = 0;
  std::uint32_t check = 0;  // of the request
  std::vector<Progress> choices;
  friend bool operator==(const EventId&, const EventId&) = default;
};

// The two parts of the text: the first one is the same for all events of a stream, then comes one for each
// choice.
std::string text_of_run(const EventId& id);
std::string text_of(const Progress& progress);
Result<EventId> parse_event_id(std::string_view text);

// What a task is called that answers these requests, wherever it runs.
struct TaskName {
  TaskId task;
  std::uint32_t check = 0;
};
// session: as the client named it; empty: the key's own.
TaskName name_task(const AccountId& account, std::string_view session, const Digest& weights,
                   std::span<const GenerationRequest> requests, std::uint64_t nonce);

}  // namespace cortensor::router
