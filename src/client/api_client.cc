#include "client/api_client.h"

#include <algorithm>
#include <charconv>
#include <random>
#include <set>
#include <utility>

#include "base/check.h"
#include "client/json_answer.h"
#include "http/sse.h"

namespace cortensor::client {
namespace {

std::optional<std::int64_t> amount(const Json& json, const char* name) {
  const auto at = json.find(name);
  if (at == json.end() || !at->is_number_integer()) return std::nullopt;
  return field<std::int64_t>(json, name);
}

Result<SessionRow> session_from(const Json& json) {
  SessionRow row;
  row.id = field<std::string>(json, "id");
  if (row.id.empty()) return fail(ErrorKind::corrupt, "the router's answer is not a session");
  row.model = field<std::string>(json, "model");
  row.state = field<std::string>(json, "state");
  row.label = field<std::string>(json, "label");
  const Json none = Json::object();
  const Json& validation = json.contains("validation") ? json["validation"] : none;
  row.validation = field<std::string>(validation, "level");
  row.probability = field<double>(validation, "probability");
  row.quorum_k = field<std::uint32_t>(validation, "k");
  row.quorum_n = field<std::uint32_t>(validation, "n");
  row.redundancy = field<std::uint32_t>(json, "redundancy");
  row.min_tokens_per_second = field<std::uint32_t>(json, "min_tokens_per_second");
  row.max_first_token_ms = field<std::uint32_t>(json, "max_first_token_ms");
  row.min_reliability = field<double>(json, "min_reliability");
  if (json.contains("miners") && json["miners"].is_array())
    for (const Json& miner : json["miners"])
      if (miner.is_string()) row.miners.push_back(miner.get<std::string>());
  row.max_prompt_price = amount(json, "max_prompt_price_microcredits_per_million");
  row.max_completion_price = amount(json, "max_completion_price_microcredits_per_million");
  row.budget = field<std::int64_t>(json, "budget_microcredits");
  row.hold = field<std::int64_t>(json, "hold_microcredits");
  row.reserved = field<std::int64_t>(json, "reserved_microcredits");
  row.spent = field<std::int64_t>(json, "spent_microcredits");
  row.released = field<std::int64_t>(json, "released_microcredits");
  row.opened_at = field<std::int64_t>(json, "opened_at");
  row.expires_at = field<std::int64_t>(json, "expires_at");
  row.ended_at = amount(json, "ended_at");
  row.implicit = json.contains("implicit") && json["implicit"] == true;
  return row;
}

Result<SessionRow> session_from(const Result<std::string>& body) {
  const auto json = parse(body);
  if (!json) return json.error();
  return session_from(*json);
}

// Takes what an answer, or its last event, says of itself.
void take_outcome(const Json& json, Outcome& outcome) {
  if (json.contains("usage") && json["usage"].is_object()) {
    outcome.prompt_tokens = field<std::int64_t>(json["usage"], "prompt_tokens");
    outcome.completion_tokens = field<std::int64_t>(json["usage"], "completion_tokens");
  }
  if (!json.contains("cortensor") || !json["cortensor"].is_object()) return;
  const Json& proof = json["cortensor"];
  outcome.verdict = field<std::string>(proof, "verdict");
  outcome.cost = field<std::int64_t>(proof, "cost_microcredits");
  if (proof.contains("receipts") && proof["receipts"].is_array())
    for (const Json& id : proof["receipts"])
      if (id.is_string()) outcome.receipts.push_back(id.get<std::string>());
}

// Takes what one event of a chat stream says into the outcome; yields its text.
std::string take_event(const Json& event, ChatOutcome& outcome) {
  std::string text;
  if (event.contains("choices") && event["choices"].is_array() && !event["choices"].empty()) {
    const Json& choice = event["choices"][0];
    if (choice.contains("delta")) text = field<std::string>(choice["delta"], "content");
    if (auto reason = field<std::string>(choice, "finish_reason"); !reason.empty())
      outcome.finish_reason = reason;
  }
  take_outcome(event, outcome);
  outcome.text += text;
  return text;
}

// A comment of a stream that waits: " queue place=3 eta_ms=1200".
std::optional<QueuePlace> queue_place(std::string_view comment) {
  const auto number = [&](std::string_view name) -> std::optional<std::int64_t> {
    const std::size_t at = comment.find(name);
    std::int64_t value = 0;
    if (at == comment.npos ||
        std::from_chars(comment.data() + at + name.size(), comment.data() + comment.size(), value).ec !=
            std::errc{})
      return std::nullopt;
    return value;
  };
  const auto place = number(" queue place=");
  if (!place) return std::nullopt;
  return QueuePlace{*place, number(" eta_ms=")};
}

}  // namespace

ApiClient::ApiClient(std::vector<std::string> routers, std::string api_key, http::ClientOptions options,
                     Reconnecting reconnecting)
    : routers_(std::move(routers)),
      api_key_(std::move(api_key)),
      reconnecting_(reconnecting),
      http_(std::move(options)) {
  CORTENSOR_CHECK(!routers_.empty());
  for (std::string& url : routers_)
    while (url.ends_with('/')) url.pop_back();  // paths begin with one
}

http::ClientRequest ApiClient::request(std::string method, const std::string& path, std::string body,
                                       std::string type) const {
  http::ClientRequest out;
  out.method = std::move(method);
  out.url = router() + path;
  if (!api_key_.empty()) out.headers.push_back({"Authorization", "Bearer " + api_key_});
  if (!body.empty()) out.headers.push_back({"Content-Type", std::move(type)});
  out.body = std::move(body);
  return out;
}

// Of several routers, the first one that is there.
void ApiClient::find_router() {
  for (std::size_t tried = 0; !found_ && tried < routers_.size() && routers_.size() > 1; ++tried) {
    const auto health = http_.request(request("GET", "/healthz"));
    found_ = health && health->status == 200;
    if (!found_) next_router();
  }
}

Result<std::string> ApiClient::call(std::string method, const std::string& path, std::string body,
                                    std::string type) {
  find_router();
  auto response = http_.request(request(std::move(method), path, std::move(body), std::move(type)));
  if (!response) return response.error();
  if (response->status / 100 != 2) return error_of(response->status, response->body);
  return std::move(response->body);
}

void ApiClient::cancel() {
  {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
  }
  wake_.notify_all();
  http_.cancel();
}

Status ApiClient::pause(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  if (wake_.wait_for(lock, time, [this] { return cancelled_; }))
    return fail(ErrorKind::cancelled, "request: cancelled");
  return ok();
}

Result<NodeCount> ApiClient::attached_nodes() {
  const auto json = list_from(call("GET", "/v1/nodes"));
  if (!json) return json.error();
  NodeCount count;
  for (const Json& node : (*json)["data"]) {
    count.miners += field<std::string>(node, "role") == "miner";
    count.validators += field<std::string>(node, "role") == "validator";
  }
  return count;
}

Result<std::vector<ModelRow>> ApiClient::models() {
  const auto json = list_from(call("GET", "/v1/models"));
  if (!json) return json.error();
  std::vector<ModelRow> rows;
  for (const Json& model : (*json)["data"]) {
    static const Json none = Json::object();
    const Json& more = model.contains("cortensor") ? model["cortensor"] : none;
    rows.push_back({field<std::string>(model, "id"), field<std::string>(more, "quantisation"),
                    field<std::int64_t>(more, "context_length"),
                    field<std::int64_t>(more, "prompt_price_microcredits_per_million"),
                    field<std::int64_t>(more, "completion_price_microcredits_per_million"),
                    field<std::int64_t>(more, "miners")});
  }
  return rows;
}

Result<std::int64_t> ApiClient::balance() {
  const auto json = parse(call("GET", "/v1/account"));
  if (!json) return json.error();
  if (const auto balance = json->is_object() ? amount(*json, "balance_microcredits") : std::nullopt)
    return *balance;
  return fail(ErrorKind::corrupt, "the router's answer is not an account");
}

Result<SessionRow> ApiClient::create_session(const NewSession& wanted) {
  Json validation = {{"level", wanted.validation}};
  if (wanted.validation == "spot") validation["probability"] = wanted.probability;
  const bool quorum = wanted.validation == "quorum";
  if (quorum) {
    validation["k"] = wanted.quorum_k;
    validation["n"] = wanted.quorum_n;
  }
  Json body = {{"model", wanted.model},
               {"budget_microcredits", wanted.budget},
               {"validation", validation},
               {"expires_in_seconds", wanted.expires_in_seconds},
               {"label", wanted.label}};
  if (!quorum) body["redundancy"] = wanted.redundancy;
  if (wanted.min_tokens_per_second > 0) body["min_tokens_per_second"] = wanted.min_tokens_per_second;
  if (wanted.max_first_token_ms > 0) body["max_first_token_ms"] = wanted.max_first_token_ms;
  if (wanted.min_reliability > 0) body["min_reliability"] = wanted.min_reliability;
  if (!wanted.miners.empty()) body["miners"] = wanted.miners;
  if (wanted.max_prompt_price) body["max_prompt_price_microcredits_per_million"] = *wanted.max_prompt_price;
  if (wanted.max_completion_price)
    body["max_completion_price_microcredits_per_million"] = *wanted.max_completion_price;
  return session_from(call("POST", "/v1/sessions", text_of(body)));
}

Result<std::vector<SessionRow>> ApiClient::sessions() {
  std::vector<SessionRow> rows;
  std::set<std::string> seen;
  std::string after;
  for (;;) {
    const auto json = list_from(call("GET", "/v1/sessions?limit=100" + after));
    if (!json) return json.error();
    const Json& page = (*json)["data"];
    for (const Json& session : page) {
      auto row = session_from(session);
      if (!row) return row.error();
      if (!seen.insert(row->id).second)
        return fail(ErrorKind::corrupt, "the router's list of sessions repeats itself");
      rows.push_back(std::move(*row));
    }
    const auto more = json->find("has_more");
    if (more == json->end() || !more->is_boolean())
      return fail(ErrorKind::corrupt, "the router's list of sessions does not say whether it goes on");
    if (*more == false) return rows;
    if (page.empty()) return fail(ErrorKind::corrupt, "the router's list of sessions goes on without any");
    after = "&after=" + rows.back().id;
  }
}

Result<SessionRow> ApiClient::session(const std::string& id) {
  return session_from(call("GET", "/v1/sessions/" + id));
}

Result<SessionRow> ApiClient::close_session(const std::string& id) {
  return session_from(call("POST", "/v1/sessions/" + id + "/close", "{}"));
}

namespace {

// Between half of it and all: those whom one router has lost do not all come at once.
std::chrono::milliseconds jittered(std::chrono::milliseconds longest) {
  thread_local std::minstd_rand random(std::random_device{}());
  return longest / 2 + longest * static_cast<std::int64_t>(random() % 512) / 1024;
}

std::chrono::seconds retry_after(const http::ClientResponse& response) {
  std::int64_t seconds = 0;
  const std::string_view text = response.header("Retry-After").value_or("");
  std::from_chars(text.data(), text.data() + text.size(), seconds);
  return std::chrono::seconds(std::clamp<std::int64_t>(seconds, 0, 3600));
}

Result<std::string> chat_body(const ChatRequest& wanted) {
  Json messages = Json::array();
  for (const Message& message : wanted.messages)
    messages.push_back({{"role", message.role}, {"content", message.content}});
  nlohmann::ordered_json body = {{"model", wanted.model},
                                 {"messages", messages},
                                 {"stream", true},
                                 {"stream_options", {{"include_usage", true}}}};
  if (!wanted.session.empty()) body["session"] = wanted.session;
  if (wanted.temperature) body["temperature"] = *wanted.temperature;
  if (wanted.seed) body["seed"] = *wanted.seed;
  if (wanted.max_tokens > 0) body["max_tokens"] = wanted.max_tokens;
  if (!wanted.grammar.empty()) body["grammar"] = wanted.grammar;
  if (!wanted.json_schema.empty()) {
    // The order of a schema's properties is that of the answer.
    const auto schema = nlohmann::ordered_json::parse(wanted.json_schema, nullptr, false);
    if (schema.is_discarded()) return fail(ErrorKind::invalid_input, "the schema is not JSON");
    body["response_format"] = {{"type", "json_schema"},
                               {"json_schema", {{"name", "answer"}, {"schema", schema}}}};
  }

  return text_of(body);
}

}  // namespace

// What has come of an answer, over all connections.
struct ApiClient::ChatStream {
  const std::function<void(std::string_view)>& on_text;
  const std::function<void(const QueuePlace&)>& on_waiting;
  ChatOutcome outcome = {};
  std::string last_id = {};  // of the events so far
  std::size_t events = 0;
  bool begun = false;  // a router has taken the request
  bool done = false;
  std::optional<Error> broken = {};

  // Whether the request may be sent again without its beginning being told twice.
  bool can_go_on() const { return begun && (!last_id.empty() || outcome.text.empty()); }
  // False: no more of this connection.
  bool feed(http::SseParser& parser, std::string_view bytes);
  void take(const http::SseEvent& event);
};

bool ApiClient::ChatStream::feed(http::SseParser& parser, std::string_view bytes) {
  begun = true;
  const auto on_comment = [&](std::string_view comment) {
    if (const auto place = queue_place(comment); place && on_waiting) on_waiting(*place);
  };
  const auto status = parser.feed(
      bytes, [&](const http::SseEvent& event) { take(event); }, on_comment);
  if (!status) broken = status.error();
  return !broken;
}

void ApiClient::ChatStream::take(const http::SseEvent& event) {
  if (done || broken) return;
  if (event.data == "[DONE]") {
    done = true;
    return;
  }
  const Json json = Json::parse(event.data, nullptr, false);
  if (!json.is_object()) {
    broken = fail(ErrorKind::corrupt, "the router's answer is not a stream of JSON objects");
  } else if (json.contains("error")) {
    broken = error_of(500, event.data);
  } else {
    ++events;
    if (!event.id.empty()) last_id = event.id;
    if (const std::string text = take_event(json, outcome); !text.empty()) on_text(text);
  }
}

// Why a connection did not bring the answer to its end.
struct ApiClient::Loss {
  Error error;
  bool passing = false;  // the same request may succeed, here or at another router
  bool told = false;     // by the router, in the stream
  std::chrono::seconds retry_after{0};
};

std::optional<ApiClient::Loss> ApiClient::follow(const std::string& body, ChatStream& stream) {
  http::ClientRequest wanted = request("POST", "/v1/chat/completions", body);
  if (!stream.last_id.empty()) wanted.headers.push_back({"Last-Event-ID", stream.last_id});
  stream.broken.reset();
  http::SseParser parser;
  const auto response =
      http_.request_stream(wanted, [&](std::string_view bytes) { return stream.feed(parser, bytes); });
  if (stream.broken) return Loss{*stream.broken, stream.broken->kind == ErrorKind::unavailable, true};
  if (stream.done && !stream.outcome.verdict.empty()) return std::nullopt;
  if (!response) {
    const ErrorKind kind = response.error().kind;
    // A router that dies in the handshake looks like one that is not the right one.
    const bool passing = kind == ErrorKind::unavailable || kind == ErrorKind::timed_out ||
                         (kind == ErrorKind::unauthenticated && stream.begun);
    return Loss{response.error(), passing};
  }
  if (response->status / 100 == 2)
    return Loss{fail(ErrorKind::corrupt, "the answer ended without its proof"), !stream.last_id.empty()};
  const int status = response->status;
  return Loss{error_of(status, response->body),
              status == 502 || status == 503 || status == 504 || (status == 429 && stream.begun), false,
              retry_after(*response)};
}

Result<ChatOutcome> ApiClient::chat(const ChatRequest& wanted,
                                    const std::function<void(std::string_view)>& on_text,
                                    const std::function<void(const QueuePlace&)>& on_waiting) {
  const auto body = chat_body(wanted);
  if (!body) return body.error();
  ChatStream stream{on_text, on_waiting};
  using Clock = std::chrono::steady_clock;
  Clock::time_point latest = Clock::now();  // when something new has come
  std::size_t in_vain = 0, told = 0;  // connections since then, and those that ended with an error event
  auto longest = reconnecting_.first_pause;
  for (;;) {
    const std::size_t events = stream.events;
    const auto loss = follow(*body, stream);
    if (!loss) return std::move(stream.outcome);
    if (stream.events > events) {
      latest = Clock::now();
      in_vain = told = 0;
      longest = reconnecting_.first_pause;
    }
    ++in_vain;
    told += loss->told;
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(latest + reconnecting_.patience - Clock::now());
    const bool all_tried = in_vain % routers_.size() == 0;
    const bool again = stream.can_go_on() ? told <= routers_.size() && left.count() > 0 : !all_tried;
    if (!loss->passing || !again || (stream.begun && !stream.can_go_on())) return loss->error;
    next_router();
    if (!all_tried) continue;
    const std::chrono::milliseconds least = loss->retry_after;
    if (auto status = pause(std::min(left, std::max(least, jittered(longest)))); !status)
      return status.error();
    longest = std::min(2 * longest, reconnecting_.longest_pause);
  }
}

Result<EmbeddingOutcome> ApiClient::embed(const EmbeddingRequest& wanted) {
  Json body = {{"model", wanted.model}, {"input", wanted.input}};
  if (!wanted.session.empty()) body["session"] = wanted.session;
  if (wanted.dimensions > 0) body["dimensions"] = wanted.dimensions;
  const auto json = list_from(call("POST", "/v1/embeddings", text_of(body)));
  if (!json) return json.error();
  EmbeddingOutcome outcome;
  take_outcome(*json, outcome);
  for (const Json& one : (*json)["data"]) {
    const Json numbers = one.is_object() ? one.value("embedding", Json()) : Json();
    const auto number = [](const Json& element) { return element.is_number(); };
    if (!numbers.is_array() || !std::all_of(numbers.begin(), numbers.end(), number))
      return fail(ErrorKind::corrupt, "the router's answer is not a list of embeddings");
    outcome.embeddings.push_back(numbers.get<std::vector<float>>());
  }
  if (outcome.verdict.empty() || outcome.embeddings.size() != wanted.input.size() ||
      outcome.receipts.size() != wanted.input.size())
    return fail(ErrorKind::corrupt, "the router's answer is not an embedding and a receipt for each input");
  return outcome;
}

Result<std::string> ApiClient::receipt(const std::string& id) {
  return call("GET", "/v1/receipts/" + id);
}

}  // namespace cortensor::client
