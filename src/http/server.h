// The HTTP/1.1 server: keep-alive, pipelining, chunked streams, TLS, and a limit on everything a client can
// do. All of it, handlers included, lives on the executor's one thread. A slow or vanished client costs its
// own connection and nothing else: writes never block, and what it does not read is bounded.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "http/asio_executor.h"
#include "http/message.h"

namespace cortensor::http {

struct ServerLimits {
  std::size_t header_bytes = 16 * 1024;          // request line and headers together; beyond: 431
  std::size_t body_bytes = 4 * 1024 * 1024;      // beyond: 413
  std::size_t stream_buffer_bytes = 256 * 1024;  // unread bytes of one stream; beyond: the client is dropped
  std::size_t connections = 1024;                // beyond: 503 and close
  std::chrono::milliseconds header_timeout{
      10'000};  // from the first byte (or the connect) to the end of headers
  std::chrono::milliseconds body_timeout{30'000};  // from there to the end of the body; beyond: 408
  std::chrono::milliseconds idle_timeout{75'000};  // between two requests of a connection
  std::chrono::milliseconds write_timeout{
      30'000};  // a write that makes no progress; beyond: the client is dropped
};

struct ServerOptions {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;                   // 0: any free one; port() tells
  std::string certificate_chain_file = {};  // PEM; with private_key_file set as well: TLS 1.2+ only
  std::string private_key_file = {};
  ServerLimits limits = {};
  Uploads uploads = {};  // bodies that go to a sink
};

class Connection;

// One streamed answer; copies share it. Dropping the last copy without finish() cuts the connection, so that
// the client can tell a broken stream from a whole one. Only on the executor's thread.
class Stream {
 public:
  // Sends the bytes as one chunk, batched with what else is written in this turn of the executor. False when
  // the client is gone or was just dropped for being too slow.
  bool write(std::string_view chunk);
  // Calls back once, in a later turn, when all that was written has left for the client; not after its end.
  void when_drained(std::function<void()> callback);
  // The regular end; later writes are ignored.
  void finish();
  // Calls back once, in a later turn, if the client goes before finish(). At most one callback.
  void on_close(std::function<void()> callback);
  bool open() const;

 private:
  friend class Responder;
  struct Handle;
  explicit Stream(std::shared_ptr<Handle> handle) : handle_(std::move(handle)) {}
  std::shared_ptr<Handle> handle_;
};

// The right to answer one request; copies share it, the first answer counts and later ones are ignored.
// Dropping the last copy unused answers 500. Only on the executor's thread.
class Responder {
 public:
  void respond(Response response) const;
  void respond(int status, Headers headers, std::string body) const {
    respond({status, std::move(headers), std::move(body)});
  }
  // Begins a chunked answer. The stream is closed already if the client went or an answer was given.
  Stream start_stream(int status, Headers headers) const;
  // Calls back once, in a later turn, if the client goes before the answer is complete. At most one callback;
  // start_stream() hands it on to the stream.
  void on_close(std::function<void()> callback) const;

 private:
  friend class Connection;
  struct Handle;
  explicit Responder(std::shared_ptr<Handle> handle) : handle_(std::move(handle)) {}
  std::shared_ptr<Handle> handle_;
};

// Called on the executor's thread for each request. It may answer at once, or keep the Responder for later.
// An exception out of it becomes a 500.
using Handler = std::function<void(Request request, Responder responder)>;

class Server {
 public:
  // Binds and listens; requests are served while the executor runs. The executor must outlive the server.
  // Fails when the address is not an address, the port is taken, or the certificate and key do not load or
  // match.
  static Result<std::unique_ptr<Server>> listen(AsioExecutor& executor, ServerOptions options,
                                                Handler handler);

  // Cuts what is still open. On the executor's thread, or while the executor does not run.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  std::uint16_t port() const;
  std::size_t connections() const;  // on the executor's thread

  // Stops accepting, closes idle connections, lets answers in progress end until the grace is over, then cuts
  // the rest. Calls `done` once, when nothing is open any more. On the executor's thread.
  void shutdown(std::chrono::milliseconds grace, std::function<void()> done);

 private:
  class Listener;
  explicit Server(std::shared_ptr<Listener> listener) : listener_(std::move(listener)) {}
  std::shared_ptr<Listener> listener_;  // shared with the callbacks in flight
};

}  // namespace cortensor::http
