// The answer to /v1/embeddings, in OpenAI's shape, once all of its embeddings are checked and paid for.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "http/server.h"
#include "router/api/embedding_request.h"
#include "router/api/reply.h"

namespace cortensor::router {

class EmbeddingReply final : public Reply {
 public:
  // Without a responder nobody is answered.
  EmbeddingReply(const EmbeddingCall& call, std::size_t inputs, std::optional<http::Responder> responder);

  void begin(const TaskId&, const Standing& standing) override { admitted_ = latest_ = standing; }
  http::Response answer(const TaskResult& result) const override;

  void on_waiting(const Standing& standing) override { latest_ = standing; }
  void on_embedding(std::uint32_t choice, std::span<const float> elements) override;
  void on_done(const TaskResult& result) override { responder_->respond(answer(result)); }
  void on_failed(const Error& error) override;

  // Answers' events: of an embedding nothing is told before the end.
  void on_delta(const Delta&) override {}
  std::size_t on_retract(std::uint32_t) override { return 0; }
  void on_finish(std::uint32_t, FinishReason) override {}

 private:
  const std::string model_;
  const bool base64_;
  std::optional<http::Responder> responder_;
  std::vector<std::string> embeddings_;  // as JSON
  Standing admitted_, latest_;
};

}  // namespace cortensor::router
