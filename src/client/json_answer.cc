#include "client/json_answer.h"

namespace cortensor::client {
namespace {

ErrorKind kind_of(int status) {
  switch (status) {
    case 400:
      return ErrorKind::invalid_input;
    case 401:
      return ErrorKind::unauthenticated;
    case 402:
      return ErrorKind::payment_required;
    case 403:
      return ErrorKind::forbidden;
    case 404:
      return ErrorKind::not_found;
    case 409:
      return ErrorKind::conflict;
    case 429:
      return ErrorKind::overloaded;
    case 503:
      return ErrorKind::unavailable;
    case 504:
      return ErrorKind::timed_out;
    default:
      return ErrorKind::internal;
  }
}

}  // namespace

Error error_of(int status, const std::string& body) {
  const Json json = Json::parse(body, nullptr, false);
  if (json.is_object() && json.contains("error") && json["error"].is_object() &&
      json["error"].contains("message") && json["error"]["message"].is_string()) {
    const bool away = json["error"].value("code", Json()) == "unavailable";
    return fail(away ? ErrorKind::unavailable : kind_of(status), json["error"]["message"].get<std::string>());
  }
  return fail(kind_of(status), "the router answered with status " + std::to_string(status));
}

Result<Json> parse(const Result<std::string>& body) {
  if (!body) return body.error();
  Json json = Json::parse(*body, nullptr, false);
  if (json.is_discarded()) return fail(ErrorKind::corrupt, "the router's answer is not JSON");
  return json;
}

Result<Json> list_from(const Result<std::string>& body) {
  auto json = parse(body);
  if (!json) return json;
  if (!json->is_object() || !json->contains("data") || !(*json)["data"].is_array())
    return fail(ErrorKind::corrupt, "the router's answer is not a list");
  return json;
}

}  // namespace cortensor::client
