// Files and batches. Spec: docs/spec/http-api.md, 8
#include <algorithm>

#include "client/api_client.h"
#include "client/json_answer.h"

namespace cortensor::client {
namespace {

Result<BatchRow> batch_from(const Json& json) {
  BatchRow row;
  row.id = field<std::string>(json, "id");
  row.status = field<std::string>(json, "status");
  if (row.id.empty() || row.status.empty())
    return fail(ErrorKind::corrupt, "the router's answer is not a batch");
  row.endpoint = field<std::string>(json, "endpoint");
  row.output_file = field<std::string>(json, "output_file_id");
  row.error_file = field<std::string>(json, "error_file_id");
  row.created_at = field<std::int64_t>(json, "created_at");
  row.expires_at = field<std::int64_t>(json, "expires_at");
  const Json counts = json.value("request_counts", Json::object());
  row.total = field<std::int64_t>(counts, "total");
  row.completed = field<std::int64_t>(counts, "completed");
  row.failed = field<std::int64_t>(counts, "failed");
  const Json errors = json.value("errors", Json());
  if (errors.is_object() && errors.contains("data") && errors["data"].is_array())
    for (const Json& fault : errors["data"]) row.faults.push_back(field<std::string>(fault, "message"));
  return row;
}

Result<BatchRow> batch_from(const Result<std::string>& body) {
  const auto json = parse(body);
  if (!json) return json.error();
  if (!json->is_object()) return fail(ErrorKind::corrupt, "the router's answer is not a batch");
  return batch_from(*json);
}

}  // namespace

bool BatchRow::ended() const {
  return status == "completed" || status == "failed" || status == "expired" || status == "cancelled";
}

Result<std::string> ApiClient::upload(const std::string& name, const std::string& content) {
  std::string boundary = "cortensor";  // any that the content does not have
  for (int i = 0; content.find("--" + boundary) != content.npos; ++i)
    boundary = "cortensor" + std::to_string(i);
  std::string quoted;
  for (const char c : name)
    if (c == '"')
      quoted += "%22";
    else if (static_cast<unsigned char>(c) >= ' ' && c != '\\')
      quoted += c;
  const std::string part = "--" + boundary + "\r\nContent-Disposition: form-data; name=";
  std::string body = part + "\"purpose\"\r\n\r\nbatch\r\n" + part + "\"file\"; filename=\"" + quoted +
                     "\"\r\nContent-Type: application/jsonl\r\n\r\n";
  body.append(content).append("\r\n--" + boundary + "--\r\n");
  const auto json =
      parse(call("POST", "/v1/files", std::move(body), "multipart/form-data; boundary=" + boundary));
  if (!json) return json.error();
  auto id = field<std::string>(*json, "id");
  if (id.empty()) return fail(ErrorKind::corrupt, "the router's answer is not a file");
  return id;
}

Status ApiClient::download(const std::string& file, const std::function<bool(std::string_view)>& on_chunk) {
  find_router();
  const auto response = http_.request_stream(request("GET", "/v1/files/" + file + "/content"), on_chunk);
  if (!response) return response.error();
  if (response->status / 100 != 2) return error_of(response->status, response->body);
  return ok();
}

Result<BatchRow> ApiClient::create_batch(const NewBatch& wanted) {
  Json body = {
      {"input_file_id", wanted.input_file}, {"endpoint", wanted.endpoint}, {"completion_window", "24h"}};
  if (!wanted.session.empty()) body["session"] = wanted.session;
  return batch_from(call("POST", "/v1/batches", text_of(body)));
}

Result<BatchRow> ApiClient::batch(const std::string& id) {
  return batch_from(call("GET", "/v1/batches/" + id));
}

Result<BatchRow> ApiClient::cancel_batch(const std::string& id) {
  return batch_from(call("POST", "/v1/batches/" + id + "/cancel", "{}"));
}

Result<std::vector<BatchRow>> ApiClient::batches() {
  const auto json = list_from(call("GET", "/v1/batches?limit=100"));
  if (!json) return json.error();
  std::vector<BatchRow> rows;
  for (const Json& one : (*json)["data"]) {
    if (!one.is_object()) return fail(ErrorKind::corrupt, "the router's answer is not a list of batches");
    auto row = batch_from(one);
    if (!row) return row.error();
    rows.push_back(std::move(*row));
  }
  return rows;
}

}  // namespace cortensor::client
