// One line of a batch: from the text of its input to a task, and from the task to a line of its output.
// Spec: docs/spec/http-api.md, 8
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "ledger/batch_store.h"
#include "router/api/completion_request.h"
#include "router/api/embedding_request.h"
#include "router/api/reply.h"

namespace cortensor::router {

using ledger::BatchId;

inline constexpr std::size_t kMaxLineBytes = 4 * 1024 * 1024;  // as the bodies of single requests
inline constexpr std::size_t kMaxCustomId = 512;

struct LineCall {
  std::string custom_id;
  std::variant<CompletionCall, EmbeddingCall> call;

  const std::string& model() const;
};

bool is_batch_endpoint(std::string_view path);

// Checks everything but whether there is such a model, and whether the prompt fits it.
Parsed<LineCall> parse_line(std::string_view line, std::string_view endpoint);

// Which line of whose batch.
struct LineName {
  BatchId batch;
  std::uint64_t epoch = 0;
  std::uint32_t line = 0;
  std::string custom_id;
};

// A line that comes to nothing with an HTTP status; and one that was not tried, for the reason `code`.
ledger::LineResult refused_line(const LineName& name, const ApiError& error);
ledger::LineResult untried_line(const LineName& name, std::string_view code, std::string_view why);

// Hears of the task of a line. What it costs and what it says are written in one transaction.
class LineReply final : public TaskListener {
 public:
  // `ended` is called once, last: without an error when the line is written, or its answer was INVALID.
  struct End {
    std::optional<Error> error;
    bool written = false;
  };
  LineReply(LineName name, std::shared_ptr<Reply> reply, std::function<void(const End&)> ended)
      : name_(std::move(name)), reply_(std::move(reply)), ended_(std::move(ended)) {}

  void begin(const TaskId& task, const Standing& standing) { reply_->begin(task, standing); }
  // A part of the answer is whole: it will be checked and paid for, so that it is too late to cancel it.
  bool committed() const { return committed_; }

  void on_delta(const Delta& delta) override { reply_->on_delta(delta); }
  void on_embedding(std::uint32_t choice, std::span<const float> elements) override {
    reply_->on_embedding(choice, elements);
  }
  std::size_t on_retract(std::uint32_t choice) override { return reply_->on_retract(choice); }
  void on_finish(std::uint32_t choice, FinishReason reason) override {
    committed_ = true;
    reply_->on_finish(choice, reason);
  }
  std::optional<ledger::LineResult> on_settling(const TaskResult& result) override;
  void on_done(const TaskResult&) override { ended_({{}, written_}); }
  void on_failed(const Error& error) override { ended_({error, false}); }

 private:
  const LineName name_;
  const std::shared_ptr<Reply> reply_;
  const std::function<void(const End&)> ended_;
  bool committed_ = false;
  bool written_ = false;
};

// A task's specification, but for who pays, and the reply that makes its answer.
struct LineTask {
  TaskSpec spec;
  std::shared_ptr<Reply> reply;
};
// The seed follows from the batch and the line where the client names none, so that a line that is computed
// again has the same answer. not_found: the model is not served here.
Parsed<LineTask> task_of_line(LineCall call, const LineName& name, const Catalogue& catalogue,
                              std::uint32_t arithmetic_version, Clock::time_point now, WallTime created);

}  // namespace cortensor::router
