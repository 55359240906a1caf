#include "http/status_map.h"

#include <nlohmann/json.hpp>

namespace cortensor::http {

namespace {

constexpr std::string_view kInvalidRequest = "invalid_request_error";
constexpr std::string_view kServerError = "server_error";
constexpr const char* kRetryAfter = "1";  // seconds; what is not there now may be back soon

}  // namespace

HttpError http_error(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::invalid_input:
      return {400, kInvalidRequest, {}};
    case ErrorKind::unsupported:
      return {400, kInvalidRequest, "unsupported"};
    case ErrorKind::unauthenticated:
      return {401, "authentication_error", "invalid_api_key"};
    case ErrorKind::payment_required:
      return {402, "insufficient_quota", "insufficient_quota"};
    case ErrorKind::forbidden:
      return {403, "permission_error", "forbidden"};
    case ErrorKind::not_found:
      return {404, kInvalidRequest, "not_found"};
    case ErrorKind::conflict:
      return {409, kInvalidRequest, "conflict"};
    case ErrorKind::overloaded:
      return {429, "rate_limit_error", "overloaded"};
    case ErrorKind::cancelled:
      return {499, kServerError, "cancelled"};
    case ErrorKind::unavailable:
      return {503, kServerError, "unavailable"};
    case ErrorKind::timed_out:
      return {504, kServerError, "timed_out"};
    case ErrorKind::corrupt:
    case ErrorKind::internal:
      break;
  }
  return {500, kServerError, "internal_error"};
}

std::string error_body(std::string_view message, std::string_view type, std::string_view code,
                       std::string_view param) {
  using Json = nlohmann::ordered_json;
  const auto text_or_null = [](std::string_view text) { return text.empty() ? Json(nullptr) : Json(text); };
  const Json body = {
      {"error",
       {{"message", message}, {"type", type}, {"param", text_or_null(param)}, {"code", text_or_null(code)}}}};
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Response error_response(const Error& error, std::string_view param) {
  const HttpError http = http_error(error.kind);
  const std::string_view message = http.status == 500 ? std::string_view("the server had an internal error")
                                                      : std::string_view(error.message);
  Response response = json_response(http.status, error_body(message, http.type, http.code, param));
  if (http.status == 503) response.headers.emplace_back("Retry-After", kRetryAfter);
  return response;
}

Response status_response(int status, std::string_view message) {
  std::string_view code;
  switch (status) {
    case 404:
      code = "not_found";
      break;
    case 405:
      code = "method_not_allowed";
      break;
    case 408:
      code = "request_timeout";
      break;
    case 413:
      code = "request_too_large";
      break;
    case 431:
      code = "headers_too_large";
      break;
    case 500:
      code = "internal_error";
      break;
    case 503:
      code = "unavailable";
      break;
    default:
      break;
  }
  Response response =
      json_response(status, error_body(message, status < 500 ? kInvalidRequest : kServerError, code));
  if (status == 503) response.headers.emplace_back("Retry-After", kRetryAfter);
  return response;
}

}  // namespace cortensor::http
