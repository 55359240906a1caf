// A small blocking HTTP/1.1 client for our own tools and tests: http and https. The connection
// stays open for the next request to the same server.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/message.h"

namespace cortensor::http {

struct ClientOptions {
  // Whom to believe over https. With a pin the certificate must have that SHA-256 (of its DER form) and
  // nothing else is checked; otherwise it must be valid for the host by the CA file, or by the system's store
  // when empty.
  std::string ca_file = {};
  std::string pinned_sha256 = {};                    // 64 hexadecimal digits
  std::chrono::milliseconds connect_timeout{5'000};  // name, connection and TLS handshake
  std::chrono::milliseconds idle_timeout{120'000};   // without a byte in either direction
  std::size_t max_body_bytes = 64 * 1024 * 1024;     // of a response that is collected
};

struct ClientRequest {
  std::string method = "GET";
  std::string url = {};  // http[s]://host[:port][/path][?query]
  Headers headers = {};  // Host, Content-Length and Connection are set here if absent
  std::string body = {};
};

struct ClientResponse {
  int status = 0;
  Headers headers;
  std::string body;  // empty where it went to on_chunk
  std::optional<std::string_view> header(std::string_view name) const { return find_header(headers, name); }
};

class Client {
 public:
  explicit Client(ClientOptions options = {});
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Blocks until the whole response is there; any status is a success of this function. Errors: invalid_input
  // (the URL), unavailable (no such host, refused, connection lost), unauthenticated (TLS: not the expected
  // server), timed_out, cancelled, corrupt (not HTTP, or an answer longer than max_body_bytes). One request
  // at a time.
  Result<ClientResponse> request(const ClientRequest& request);

  // The body of a 2xx response goes to on_chunk as it arrives, on the calling thread; false from it ends the
  // request with `cancelled`. The body of any other response is collected as by request().
  Result<ClientResponse> request_stream(const ClientRequest& request,
                                        const std::function<bool(std::string_view)>& on_chunk);

  // Ends the request in progress, and every later one, with `cancelled`. Thread-safe.
  void cancel();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cortensor::http
