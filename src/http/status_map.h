// How our errors look to HTTP clients: status, and the JSON error of the OpenAI API.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "http/message.h"

namespace cortensor::http {

struct HttpError {
  int status = 500;
  std::string_view type;  // "invalid_request_error", …
  std::string_view code;  // empty: null
};

HttpError http_error(ErrorKind kind);

// {"error":{"message":…,"type":…,"param":null,"code":…}}; an empty code or param becomes null, and bytes that
// are not UTF-8 are replaced.
std::string error_body(std::string_view message, std::string_view type, std::string_view code = {},
                       std::string_view param = {});

// The whole answer. The message is shown to the client, except that of an internal error. A 503 is worth
// another try in a second.
Response error_response(const Error& error, std::string_view param = {});

// The answer of the HTTP layer itself: 404, 405, 408, 413, …
Response status_response(int status, std::string_view message);

}  // namespace cortensor::http
