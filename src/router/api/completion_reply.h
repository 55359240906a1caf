// A task's answer on its way to the client: one JSON object, or server-sent events. Spec:
// docs/spec/http-api.md, 3
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "http/server.h"
#include "router/api/completion_request.h"
#include "router/core/task.h"

namespace cortensor::router {

class CompletionReply final : public TaskListener {
 public:
  // `model` outlives the reply. created: Unix time in seconds.
  CompletionReply(const CompletionCall& call, const ServedModel& model, std::uint32_t arithmetic_version,
                  std::size_t choices, std::int64_t created, http::Responder responder);

  // Before anything is told.
  void begin(const TaskId& task, const Standing& standing);

  void on_waiting(const Standing& standing) override;
  void on_delta(const Delta& delta) override;
  std::size_t on_retract(std::uint32_t choice) override;
  void on_finish(std::uint32_t choice, FinishReason reason) override;
  void on_done(const TaskResult& result) override;
  void on_failed(const Error& error) override;

 private:
  struct Part {
    std::string text;      // the whole answer, unless it is streamed
    std::string logprobs;  // JSON list items; of the whole answer or, streamed, of the next chunk
    FinishReason finish = FinishReason::stop;
    bool begun = false;
    std::size_t tokens = 0;  // told so far
    std::size_t seen = 0;    // of them, those that an event has shown
  };

  void open_stream();
  // One event about one choice: what comes between the two is its delta or text.
  void begin_chunk(std::uint32_t choice);
  void send_chunk(std::string_view logprobs, std::optional<FinishReason> finish);
  std::string logprob_items(const Delta& delta) const;
  http::Headers task_headers() const;

  const bool chat_;
  const bool stream_;
  const bool include_usage_;
  const bool logprobs_;
  const std::uint64_t seed_;
  const ServedModel& model_;
  const std::int64_t created_;
  const std::string fingerprint_;
  http::Responder responder_;
  std::optional<http::Stream> events_;
  TaskId task_;
  const std::string tier_;
  Standing admitted_, latest_;
  std::string head_;   // of every event, up to its choices
  std::string event_;  // in the making; kept for its memory
  std::vector<Part> parts_;
};

}  // namespace cortensor::router
