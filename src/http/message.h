// What HTTP carries, without any library's types: headers, requests as handlers see them, whole responses.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace cortensor::http {

// Name and value, in the order sent.
using Headers = std::vector<std::pair<std::string, std::string>>;

// The first header of that name, letters compared without case; nothing when absent.
std::optional<std::string_view> find_header(const Headers& headers, std::string_view name);

// Takes a body as it arrives, where that may be longer than should be kept in memory.
class BodySink {
 public:
  virtual ~BodySink() = default;
  virtual std::uint64_t limit() const = 0;  // of the body; beyond: 413
  virtual void take(std::string_view piece) = 0;
  // While false no more is read, until `resume` is called.
  virtual bool ready() const = 0;
  // While true the time limit of bodies begins anew with each piece.
  virtual bool wanted() const = 0;
  std::function<void()> resume;
};

// From the network: well-formed HTTP within the server's limits, otherwise unverified.
struct Request {
  std::string method;  // as sent: methods are case-sensitive
  std::string path;    // before '?', still percent-encoded, begins with '/'
  std::string query;   // after '?', still percent-encoded
  Headers headers;
  std::string body;                // empty where it went to the sink
  std::shared_ptr<BodySink> sink;  // what the server's `uploads` gave for it
  std::string remote;              // the peer, "127.0.0.1:40000"
  Headers path_variables;          // what a route's {names} matched, decoded; filled in by the RouteTable

  std::optional<std::string_view> header(std::string_view name) const { return find_header(headers, name); }
  // The token of "Authorization: Bearer <token>"; nothing when absent or of another scheme.
  std::optional<std::string_view> bearer_token() const;
  // The decoded value of the first ?name=value; nothing when absent. invalid_input: badly encoded.
  Result<std::optional<std::string>> query_value(std::string_view name) const;
  // The value of a route's {name}; empty when the route has none of that name.
  std::string_view path_variable(std::string_view name) const;
};

// Called with a request's head: a sink for its body, or null.
using Uploads = std::function<std::shared_ptr<BodySink>(const Request& head)>;

struct Response {
  int status = 200;
  Headers headers;  // without Content-Length, Transfer-Encoding and Connection, which the server sets itself
  std::string body;
};

Response json_response(int status, std::string json);

// %41 -> A; nothing on a broken escape. '+' becomes a space only where `plus_is_space` (queries).
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space = false);

// "Not Found" for 404; "Unknown" for a status without a name.
std::string_view reason_phrase(int status);

bool equal_ignoring_case(std::string_view a, std::string_view b);

}  // namespace cortensor::http
