// One client's connection: bytes in, requests to the handler, answers out, deadlines all along. On the
// executor's thread. Inside the HTTP layer only.
#pragma once

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>

#include "http/request_parser.h"
#include "http/server.h"
#include "http/tls.h"

namespace cortensor::http {

class Connection;

// What the connections of one server share.
struct ServerState {
  AsioExecutor& executor;
  ServerLimits limits;
  Handler handler;
  Uploads uploads;
  TlsContext tls;  // null: plain HTTP
  bool draining = false;
  std::function<void()> on_drained;
  std::unordered_set<std::shared_ptr<Connection>> connections;  // those not closed yet
};

// One request being answered. Its connection, the Responder and the Stream share it; whoever comes too late
// finds out from the phase.
struct Exchange {
  enum class Phase { waiting, streaming, done, cut };

  void on_close_call(std::function<void()> callback);
  void cut();

  AsioExecutor& executor;
  std::weak_ptr<Connection> connection;
  Phase phase = Phase::waiting;
  std::function<void()> on_close;
  std::function<void()> on_drained;
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using Socket = boost::asio::ip::tcp::socket;

  Connection(std::shared_ptr<ServerState> server, Socket socket, std::string remote);

  void start();
  // Answers 503 to a client that was not even asked what it wants.
  void refuse();
  // Ends the connection at once; what the kernel holds is still delivered.
  void close();
  // Acts on a deadline that has passed.
  void expire(Clock::time_point now);
  // Closes if no request is under way.
  void drain();

  void respond(Exchange& exchange, Response response);
  void start_stream(Exchange& exchange, int status, Headers headers);
  bool write(Exchange& exchange, std::string_view chunk);
  void when_drained(Exchange& exchange, std::function<void()> callback);
  void finish(Exchange& exchange);
  // The stream's owner let go of it without finish().
  void abandon(Exchange& exchange);

 private:
  enum class State { handshake, reading, answering, ending, lingering, closed };

  void start_read();
  void on_read(const boost::system::error_code& error, std::size_t size);
  void parse();
  void begin_body();
  void read_body();
  void dispatch();
  void refuse_request(int status, std::string_view message);

  void append_head(int status, const Headers& headers, std::optional<std::size_t> length);
  void schedule_flush();
  void flush();
  void on_written(const boost::system::error_code& error, std::size_t size);
  void answer_complete();
  void linger();
  void drain_input();
  void reset();
  std::size_t backlog() const { return pending_.size() + in_flight_.size() - written_; }
  void set_deadline(std::chrono::milliseconds from_now);
  void clear_deadline() { deadline_ = Clock::time_point::max(); }

  // Calls `use` with the stream that carries HTTP: the socket, or TLS over it.
  template <class Use>
  void with_stream(Use use) {
    if (tls_) {
      use(*tls_);
    } else {
      use(socket_);
    }
  }

  const std::shared_ptr<ServerState> server_;
  const std::string remote_;
  Socket socket_;
  std::optional<boost::asio::ssl::stream<Socket&>> tls_;
  State state_ = State::handshake;
  Clock::time_point deadline_ = Clock::time_point::max();

  std::array<char, 8192> received_;  // where one read lands
  std::string input_;                // received, not parsed yet; bounded by the header limit while answering
  bool reading_ = false;
  bool input_ended_ = false;
  std::optional<RequestParser> parser_;
  RequestParser::Stage stage_ = RequestParser::Stage::header;

  std::shared_ptr<Exchange> exchange_;
  bool keep_alive_ = true;
  bool head_only_ = false;  // HEAD: the answer has no body
  bool http_1_0_ = false;   // no chunks: the end of the connection ends the answer

  std::string pending_;    // to be written next
  std::string in_flight_;  // being written
  std::size_t written_ = 0;
  bool writing_ = false;
  bool flush_scheduled_ = false;
};

struct Responder::Handle {
  explicit Handle(std::shared_ptr<Exchange> of) : exchange(std::move(of)) {}
  ~Handle();
  std::shared_ptr<Exchange> exchange;
};

struct Stream::Handle {
  explicit Handle(std::shared_ptr<Exchange> of) : exchange(std::move(of)) {}
  ~Handle();
  std::shared_ptr<Exchange> exchange;
};

}  // namespace cortensor::http
