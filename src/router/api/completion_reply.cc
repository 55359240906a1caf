#include "router/api/completion_reply.h"

#include <cmath>
#include <limits>

#include "base/hex.h"
#include "http/sse.h"
#include "router/api/body_reader.h"
#include "router/api/proof.h"

namespace cortensor::router {
namespace {

// Appends a JSON string. The text is valid UTF-8: it comes from a Utf8Stream.
void append_json_text(std::string& out, std::string_view text) {
  constexpr char kDigits[] = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (byte < 0x20) {
      out += "\\u00";
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

Json usage_of(const TaskResult& result) {
  std::uint64_t prompt = 0, cached = 0, completion = 0;
  for (const ChoiceResult& choice : result.choices) {
    prompt += choice.prompt_tokens;
    cached += choice.cached_tokens;
    completion += choice.completion_tokens;
  }
  return {{"prompt_tokens", prompt},
          {"completion_tokens", completion},
          {"total_tokens", prompt + completion},
          {"prompt_tokens_details", {{"cached_tokens", cached}}}};
}

std::string fingerprint_of(const ServedModel& model, std::uint32_t arithmetic_version) {
  return "a" + std::to_string(arithmetic_version) + "-" + to_hex(model.manifest.weights).substr(0, 12);
}

}  // namespace

CompletionReply::CompletionReply(const CompletionCall& call, const ServedModel& model,
                                 std::uint32_t arithmetic_version, std::size_t choices, std::int64_t created,
                                 std::optional<http::Responder> responder)
    : chat_(call.chat),
      stream_(call.stream),
      include_usage_(call.include_usage),
      logprobs_(call.logprobs),
      seed_(call.sampling.seed),
      model_(model),
      created_(created),
      fingerprint_(fingerprint_of(model, arithmetic_version)),
      responder_(std::move(responder)),
      tier_(call.urgency.tier),
      parts_(choices) {}

void CompletionReply::identify(EventId at, std::span<const GenerationRequest> requests) {
  run_ = text_of_run(at);
  at.choices.resize(parts_.size());
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    Part& part = parts_[i];
    part.told = part.seen = at.choices[i];
    part.seen_text = text_of(part.seen);
    if (part.seen.tokens > 0) part.behind.emplace(part.seen, requests[i], model_);
  }
}

void CompletionReply::begin(const TaskId& task, const Standing& standing, std::function<void()> stop) {
  stop_ = std::move(stop);
  task_ = task;
  admitted_ = latest_ = standing;
  Json head = {{"id", (chat_ ? "chatcmpl-" : "cmpl-") + task.value},
               {"object", !chat_    ? "text_completion"
                          : stream_ ? "chat.completion.chunk"
                                    : "chat.completion"},
               {"created", created_},
               {"model", model_.manifest.id},
               {"system_fingerprint", fingerprint_}};
  if (!tier_.empty()) head["service_tier"] = tier_;
  head_ = head.dump();
  head_.back() = ',';  // more members follow
}

http::Headers CompletionReply::task_headers() const {
  http::Headers headers = queue_headers(admitted_);
  headers.emplace_back("X-Request-Id", task_.value);
  return headers;
}

void CompletionReply::open_stream() {
  http::Headers headers = http::sse_headers();
  for (auto& header : task_headers()) headers.push_back(std::move(header));
  events_ = responder_->start_stream(200, std::move(headers));
}

// The first time, the status is given away for the comments: what comes later is told in events.
void CompletionReply::on_waiting(const Standing& standing) {
  const bool moved = standing.place != latest_.place;
  latest_ = standing;
  if (!stream_ || (events_ && !moved)) return;
  if (!events_) open_stream();
  events_->write(queue_comment(standing));
}

void CompletionReply::begin_chunk(std::uint32_t choice, const Progress& seen) {
  event_.clear();
  parts_[choice].seen = seen;
  if (!run_.empty()) {
    parts_[choice].seen_text = text_of(seen);
    event_.append("id: ").append(run_);
    for (const Part& part : parts_) event_ += part.seen_text;
    event_ += '\n';
  }
  event_.append("data: ").append(head_).append("\"choices\":[{\"index\":").append(std::to_string(choice));
}

void CompletionReply::send_chunk(std::string_view logprobs, std::optional<FinishReason> finish) {
  event_.append(",\"logprobs\":").append(logprobs.empty() ? "null" : logprobs);
  event_ += ",\"finish_reason\":";
  if (finish)
    event_.append("\"").append(to_string(*finish)).append("\"}]");
  else
    event_ += "null}]";
  if (include_usage_) event_ += ",\"usage\":null";
  event_ += "}\n\n";
  if (!events_) open_stream();
  events_->write(event_);
}

namespace {

Json logprob_of(const engine::Tokenizer& tokenizer, TokenId token, float logprob) {
  const std::string_view bytes = tokenizer.token_bytes(token);
  Json item = {{"token", bytes}, {"logprob", nullptr}, {"bytes", Json::array()}};
  if (std::isfinite(logprob)) item["logprob"] = logprob;
  for (const char byte : bytes) item["bytes"].push_back(static_cast<unsigned char>(byte));
  return item;
}

// The items as the two APIs wrap them.
std::string wrap_logprobs(const std::string& items, bool chat) {
  if (items.empty()) return {};
  if (chat) return "{\"content\":[" + items + "],\"refusal\":null}";
  const Json list = Json::parse("[" + items + "]", nullptr, false);
  Json out = {{"tokens", Json::array()}, {"token_logprobs", Json::array()}, {"top_logprobs", nullptr}};
  for (const Json& item : list) {
    out["tokens"].push_back(item["token"]);
    out["token_logprobs"].push_back(item["logprob"]);
    if (item["top_logprobs"].empty()) continue;
    Json top = {{item["token"].get<std::string>(), item["logprob"]}};
    for (const Json& other : item["top_logprobs"]) top[other["token"].get<std::string>()] = other["logprob"];
    out["top_logprobs"].push_back(std::move(top));
  }
  return out.dump();
}

}  // namespace

// chat: {"token","logprob","bytes","top_logprobs"} per token, with the same members in each of the last.
std::string CompletionReply::logprob_items(const Delta& delta) const {
  std::string out;
  for (std::size_t i = 0; i < delta.steps.size(); ++i) {
    static const Logprobs kNone{std::numeric_limits<float>::quiet_NaN(), {}};
    const Logprobs& known = i < delta.logprobs.size() ? delta.logprobs[i] : kNone;
    Json item = logprob_of(model_.tokenizer, delta.steps[i].token, known.chosen);
    item["top_logprobs"] = Json::array();
    for (const TokenLogprob& one : known.top)
      item["top_logprobs"].push_back(logprob_of(model_.tokenizer, one.token, one.logprob));
    out += (out.empty() ? "" : ",") + item.dump(-1, ' ', false, Json::error_handler_t::replace);
  }
  return out;
}

void CompletionReply::on_delta(const Delta& whole) {
  if (contradicted_) return;
  Part& part = parts_[whole.choice];
  Delta delta = whole;
  if (part.behind) {
    const auto rest = part.behind->pass(whole);
    if (!rest) return contradict();
    if (part.behind->behind()) return;
    part.behind.reset();
    delta = *rest;
  }
  if (part.seen.finished && !delta.text.empty()) return contradict();
  if (logprobs_) {
    const std::string items = logprob_items(delta);
    part.logprobs += (part.logprobs.empty() || items.empty() ? "" : ",") + items;
  }
  if (!stream_) {
    part.text += delta.text;
    return;
  }
  for (const Step& step : delta.steps) part.told.add(step.token);
  if (!part.told.begun && chat_) {
    Progress begun = part.seen;
    begun.begun = true;
    begin_chunk(delta.choice, begun);
    event_ += R"(,"delta":{"role":"assistant","content":""})";
    send_chunk({}, {});
  }
  part.told.begun = true;
  if (delta.text.empty() && part.logprobs.empty()) return;
  begin_chunk(delta.choice, part.told);
  event_ += chat_ ? R"(,"delta":{"content":)" : R"(,"text":)";
  append_json_text(event_, delta.text);
  if (chat_) event_ += '}';
  send_chunk(wrap_logprobs(part.logprobs, chat_), {});
  part.logprobs.clear();
}

std::size_t CompletionReply::on_retract(std::uint32_t choice) {
  Part& part = parts_[choice];
  part.text.clear();
  part.logprobs.clear();
  if (part.behind) {
    part.behind->restart();
    return 0;
  }
  part.told = part.seen;
  return part.seen.tokens;
}

void CompletionReply::on_finish(std::uint32_t choice, FinishReason reason) {
  if (contradicted_) return;
  Part& part = parts_[choice];
  part.finish = reason;
  if (part.behind) return contradict();  // it is shorter
  if (!stream_ || part.seen.finished) return;
  part.told.begun = part.told.finished = true;
  begin_chunk(choice, part.told);
  event_ += chat_ ? R"(,"delta":{})" : R"(,"text":"")";
  send_chunk({}, reason);
}

void CompletionReply::contradict() {
  contradicted_ = true;
  on_failed(fail(ErrorKind::conflict,
                 "the answer now goes another way than what was delivered before; it was stopped"));
  stop_();
}

void CompletionReply::on_done(const TaskResult& result) {
  if (contradicted_) return;
  if (!stream_) return responder_->respond(answer(result));
  if (!events_) open_stream();
  std::string event = "data: " + head_ + "\"choices\":[]";
  if (include_usage_) event += ",\"usage\":" + usage_of(result).dump();
  events_->write(event + ",\"cortensor\":" + proof(result).dump() + "}\n\ndata: [DONE]\n\n");
  events_->finish();
}

Json CompletionReply::proof(const TaskResult& result) const {
  Json proof = proof_of(result);
  proof["seed"] = seed_;
  return proof;
}

http::Response CompletionReply::answer(const TaskResult& result) const {
  std::string choices;
  for (std::uint32_t i = 0; i < parts_.size(); ++i) {
    const Part& part = parts_[i];
    const std::string logprobs = wrap_logprobs(part.logprobs, chat_);
    choices += (i == 0 ? "{\"index\":" : ",{\"index\":") + std::to_string(i);
    choices += chat_ ? R"(,"message":{"role":"assistant","content":)" : R"(,"text":)";
    append_json_text(choices, part.text);
    if (chat_) choices += R"(,"refusal":null})";
    choices += ",\"logprobs\":" + (logprobs.empty() ? "null" : logprobs);
    choices += ",\"finish_reason\":\"" + std::string(to_string(part.finish)) + "\"}";
  }
  http::Response response =
      http::json_response(200, head_ + "\"choices\":[" + choices + "],\"usage\":" + usage_of(result).dump() +
                                   ",\"cortensor\":" + proof(result).dump() + "}");
  for (auto& header : task_headers()) response.headers.push_back(std::move(header));
  return response;
}

void CompletionReply::on_failed(const Error& error) {
  http::Response response = refusal(error, latest_.eta);
  if (!events_) return responder_->respond(std::move(response));
  events_->write(http::sse_data(response.body));
  events_->finish();
}

}  // namespace cortensor::router
