// A task's answer on its way to the client: one JSON object, or server-sent events. Spec:
// docs/spec/http-api.md, 3
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "http/server.h"
#include "router/api/catch_up.h"
#include "router/api/completion_request.h"
#include "router/api/event_id.h"
#include "router/api/reply.h"

namespace cortensor::router {

class CompletionReply final : public Reply {
 public:
  // `model` outlives the reply. created: Unix time in seconds. Without a responder nobody is answered.
  CompletionReply(const CompletionCall& call, const ServedModel& model, std::uint32_t arithmetic_version,
                  std::size_t choices, std::int64_t created, std::optional<http::Responder> responder);

  // Of a stream, whose events have ids then: it goes on behind where `at` says that its client is. One
  // request for each choice.
  void identify(EventId at, std::span<const GenerationRequest> requests);
  // stop: ends the task of a stream, in a later turn.
  void begin(const TaskId& task, const Standing& standing, std::function<void()> stop);
  void begin(const TaskId& task, const Standing& standing) override { begin(task, standing, {}); }
  http::Response answer(const TaskResult& result) const override;

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
    Progress told;                  // so far
    Progress seen;                  // of it, what an event has shown
    std::string seen_text;          // the same in the event's id
    std::optional<CatchUp> behind;  // until it comes to what the client has not seen
  };

  void open_stream();
  // One event about one choice, after which the client has `seen` of it: what comes between the two is its
  // delta or text.
  void begin_chunk(std::uint32_t choice, const Progress& seen);
  void send_chunk(std::string_view logprobs, std::optional<FinishReason> finish);
  std::string logprob_items(const Delta& delta) const;
  // What comes is not what the client has the beginning of.
  void contradict();
  http::Headers task_headers() const;
  Json proof(const TaskResult& result) const;

  const bool chat_;
  const bool stream_;
  const bool include_usage_;
  const bool logprobs_;
  const std::uint64_t seed_;
  const ServedModel& model_;
  const std::int64_t created_;
  const std::string fingerprint_;
  std::optional<http::Responder> responder_;
  std::optional<http::Stream> events_;
  TaskId task_;
  const std::string tier_;
  Standing admitted_, latest_;
  std::string head_;   // of every event, up to its choices
  std::string event_;  // in the making; kept for its memory
  std::string run_;    // of every event's id; empty: they have none
  std::function<void()> stop_;
  bool contradicted_ = false;
  std::vector<Part> parts_;
};

}  // namespace cortensor::router
