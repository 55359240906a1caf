#include "router/api/batch_line.h"

#include <algorithm>

#include "base/bytes.h"
#include "crypto/sha256.h"
#include "http/status_map.h"
#include "router/api/completion_reply.h"
#include "router/api/embedding_reply.h"

namespace cortensor::router {
namespace {

constexpr std::string_view kChat = "/v1/chat/completions", kCompletions = "/v1/completions",
                           kEmbeddings = "/v1/embeddings";
constexpr std::uint64_t kSeedMask = (std::uint64_t{1} << 53) - 1;
constexpr std::size_t kMaxUrl = 256;

std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::uint64_t seed_of(const LineName& name) {
  ByteWriter bytes;
  bytes.text(name.batch.value);
  bytes.number(name.line);
  const Digest digest = crypto::sha256(bytes.bytes());
  std::uint64_t seed = 0;
  for (int i = 0; i < 8; ++i)
    seed = seed << 8 | static_cast<std::uint8_t>(digest[static_cast<std::size_t>(i)]);
  return seed & kSeedMask;
}

// `response` and `error` are JSON.
ledger::LineResult result_of(const LineName& name, bool completed, std::string_view response,
                             std::string_view error) {
  const std::string id = "batch_req_" + name.batch.value.substr(name.batch.value.find('_') + 1) + "_" +
                         std::to_string(name.line + 1);
  ledger::LineResult result{name.batch, name.epoch, name.line, completed, {}};
  result.text.append(R"({"id":")" + id + R"(","custom_id":)" + text_of(Json(name.custom_id)))
      .append(R"(,"response":)")
      .append(response)
      .append(R"(,"error":)")
      .append(error)
      .append("}\n");
  return result;
}

std::string response_of(int status, std::string_view request_id, std::string_view body) {
  std::string response = R"({"status_code":)" + std::to_string(status) + R"(,"request_id":)" +
                         text_of(Json(request_id)) + R"(,"body":)";
  return response.append(body).append("}");
}

// What belongs to the batch, or makes no sense in one.
void refuse_in_line(BodyReader& body) {
  if (body.flag("stream").value_or(false)) body.refuse("stream", "has no meaning in a batch");
  for (const char* name : {"session", "deadline_ms"})
    if (body.has(name)) body.refuse(name, "belongs to the batch, not to a line");
}

template <typename Call>
void as_batch_work(Call& call) {
  call.urgency.tier = "flex";
}

}  // namespace

const std::string& LineCall::model() const {
  return std::visit([](const auto& one) -> const std::string& { return one.model; }, call);
}

bool is_batch_endpoint(std::string_view path) {
  return path == kChat || path == kCompletions || path == kEmbeddings;
}

Parsed<LineCall> parse_line(std::string_view text, std::string_view endpoint) {
  BodyReader line(text);
  LineCall out;
  out.custom_id = line.text("custom_id", kMaxCustomId).value_or("");
  if (out.custom_id.empty()) line.refuse("custom_id", "expected a text that is not empty");
  if (const Status fine = ledger::check_text("custom_id", out.custom_id); !fine)
    line.refuse("custom_id", "expected UTF-8 without control characters");
  if (line.text("method", kMaxUrl).value_or("") != "POST") line.refuse("method", "expected POST");
  if (line.text("url", kMaxUrl).value_or("") != endpoint)
    line.refuse("url", "expected " + std::string(endpoint) + ", as the batch");
  const Json* body = line.field("body");
  if (!line.problem() && body == nullptr) line.refuse("body", "is missing");
  if (line.problem()) return tl::unexpected<ApiError>(*line.problem());

  BodyReader fields(*body, "body");
  refuse_in_line(fields);
  if (fields.problem()) return tl::unexpected<ApiError>(*fields.problem());
  const std::string request = text_of(*body);
  const auto take = [&](auto parsed) -> std::optional<ApiError> {
    if (!parsed) return std::move(parsed).error();
    as_batch_work(*parsed);
    out.call = std::move(*parsed);
    return std::nullopt;
  };
  const auto problem = endpoint == kEmbeddings ? take(parse_embedding(request))
                       : endpoint == kChat     ? take(parse_chat(request))
                                               : take(parse_completion(request));
  if (problem) return tl::unexpected<ApiError>(*problem);
  return out;
}

ledger::LineResult refused_line(const LineName& name, const ApiError& error) {
  const http::Response response = http::error_response(error.error, error.param);
  return result_of(name, false, response_of(response.status, "", response.body), "null");
}

ledger::LineResult untried_line(const LineName& name, std::string_view code, std::string_view why) {
  return result_of(name, false, "null", text_of({{"code", code}, {"message", why}}));
}

std::optional<ledger::LineResult> LineReply::on_settling(const TaskResult& result) {
  const auto wrong = [](const ChoiceResult& choice) {
    return choice.outcome == ledger::TaskOutcome::invalid;
  };
  if (std::any_of(result.choices.begin(), result.choices.end(), wrong)) return std::nullopt;
  written_ = true;
  const http::Response response = reply_->answer(result);
  return result_of(name_, true, response_of(response.status, result.task.value, response.body), "null");
}

Parsed<LineTask> task_of_line(LineCall line, const LineName& name, const Catalogue& catalogue,
                              std::uint32_t arithmetic_version, Clock::time_point now, WallTime created) {
  const ServedModel* model = catalogue.find(line.model());
  if (model == nullptr)
    return refused(fail(ErrorKind::not_found, "there is no model '" + line.model() + "' here"), "model");
  LineTask task;
  task.spec.model = model;
  task.spec.queue_class = QueueClass::batch;
  task.spec.received = now;
  if (auto* embedding = std::get_if<EmbeddingCall>(&line.call)) {
    auto requests = make_requests(*embedding, *model);
    if (!requests) return tl::unexpected<ApiError>(std::move(requests).error());
    task.spec.requests = std::move(*requests);
    task.reply = std::make_shared<EmbeddingReply>(*embedding, task.spec.requests.size(), std::nullopt);
    return task;
  }
  auto& call = std::get<CompletionCall>(line.call);
  if (!call.seed_named) call.sampling.seed = seed_of(name);
  auto requests = make_requests(call, *model);
  if (!requests) return tl::unexpected<ApiError>(std::move(requests).error());
  task.spec.requests = std::move(*requests);
  task.spec.want_logprobs = call.logprobs;
  task.spec.top_logprobs = call.top_logprobs;
  task.reply = std::make_shared<CompletionReply>(
      call, *model, arithmetic_version, task.spec.requests.size(),
      std::chrono::duration_cast<std::chrono::seconds>(created.time_since_epoch()).count(), std::nullopt);
  return task;
}

}  // namespace cortensor::router
