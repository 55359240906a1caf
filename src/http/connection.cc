#include "http/connection.h"

#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <charconv>
#include <ctime>
#include <utility>

#include "http/server_metrics.h"
#include "http/status_map.h"

namespace cortensor::http {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr std::chrono::milliseconds kLingerTimeout{2'000};
constexpr std::size_t kFlushAt = 32 * 1024;  // written in the same turn once that much has gathered

bool has_body(int status) {
  return status >= 200 && status != 204 && status != 304;
}

// "Sun, 06 Nov 1994 08:49:37 GMT", made anew once a second.
std::string_view http_date(WallTime now) {
  thread_local std::time_t made_for = -1;
  thread_local std::string text;
  const std::time_t seconds =
      std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
  if (seconds != made_for) {
    std::tm parts{};
    char formatted[40];
    gmtime_r(&seconds, &parts);
    text.assign(formatted, std::strftime(formatted, sizeof formatted, "%a, %d %b %Y %H:%M:%S GMT", &parts));
    made_for = seconds;
  }
  return text;
}

// A line break in a header would let its author write headers of his own.
bool is_header_text(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) == text.npos;
}

}  // namespace

Connection::Connection(std::shared_ptr<ServerState> server, Socket socket, std::string remote)
    : server_(std::move(server)), remote_(std::move(remote)), socket_(std::move(socket)) {
  error_code ignored;
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
  if (server_->tls) tls_.emplace(socket_, *server_->tls);
  server_metrics().connections.add(1);
}

void Connection::start() {
  set_deadline(server_->limits.header_timeout);
  if (!tls_) {
    state_ = State::reading;
    return start_read();
  }
  tls_->async_handshake(asio::ssl::stream_base::server, [self = shared_from_this()](const error_code& error) {
    if (self->state_ == State::closed) return;
    if (error) return self->close();
    self->state_ = State::reading;
    self->start_read();
  });
}

void Connection::refuse() {
  if (tls_) return close();  // there is no saying anything before a handshake
  refuse_request(503, "too many connections, try again later");
}

void Connection::set_deadline(std::chrono::milliseconds from_now) {
  deadline_ = Clock::now() + from_now;
}

void Connection::expire(Clock::time_point now) {
  if (now < deadline_) return;
  if (state_ == State::reading && parser_ && parser_->started()) {
    return refuse_request(408, "the request did not arrive in time");
  }
  if (state_ == State::answering || state_ == State::ending) return reset();
  close();
}

void Connection::drain() {
  if (state_ == State::handshake ||
      (state_ == State::reading && input_.empty() && (!parser_ || !parser_->started())))
    close();
}

// ---- requests ----

void Connection::start_read() {
  if (reading_ || state_ == State::closed) return;
  if (input_ended_) return close();
  reading_ = true;
  with_stream([this](auto& stream) {
    stream.async_read_some(asio::buffer(received_),
                           [self = shared_from_this()](const error_code& error, std::size_t size) {
                             self->reading_ = false;
                             self->on_read(error, size);
                           });
  });
}

void Connection::on_read(const error_code& error, std::size_t size) {
  switch (state_) {
    case State::handshake:
    case State::closed:
      return;
    case State::lingering:
      return error ? close() : drain_input();
    case State::reading:
      if (error) return close();
      input_.append(received_.data(), size);
      return parse();
    case State::answering:
    case State::ending:
      // Reading while answering is how a hang-up is noticed. A client that pipelines a lot is read later; one
      // that only ended its own side still gets an answer that is already complete.
      input_ended_ = static_cast<bool>(error);
      if (error) return state_ == State::answering ? close() : void();
      input_.append(received_.data(), size);
      if (input_.size() < server_->limits.header_bytes) start_read();
      return;
  }
}

void Connection::parse() {
  using Stage = RequestParser::Stage;
  if (!parser_) {
    parser_.emplace(server_->limits.header_bytes, server_->limits.body_bytes, server_->uploads);
    stage_ = Stage::header;
  }
  const bool had_started = parser_->started();
  if (!input_.empty()) input_.erase(0, parser_->feed(input_));
  if (parser_->started() && !had_started) set_deadline(server_->limits.header_timeout);
  const Stage before = std::exchange(stage_, parser_->stage());
  switch (stage_) {
    case Stage::header:
      return start_read();
    case Stage::body:
      if (before == Stage::header) begin_body();
      return read_body();
    case Stage::complete:
      return dispatch();
    case Stage::failed:
      return refuse_request(parser_->status(), std::string(parser_->message()));
  }
}

void Connection::begin_body() {
  set_deadline(server_->limits.body_timeout);
  if (parser_->expects_continue() && !parser_->http_1_0()) {
    pending_ += "HTTP/1.1 100 Continue\r\n\r\n";
    flush();
  }
  BodySink* sink = parser_->sink();
  if (sink == nullptr) return;
  sink->resume = [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self || self->state_ != State::reading || !self->parser_ || self->parser_->sink() == nullptr) return;
    self->set_deadline(self->server_->limits.body_timeout);
    self->read_body();
  };
}

void Connection::read_body() {
  const BodySink* sink = parser_->sink();
  if (sink == nullptr) return start_read();
  if (!sink->ready()) return clear_deadline();  // it is not the client who keeps us waiting
  if (sink->wanted()) set_deadline(server_->limits.body_timeout);
  start_read();
}

void Connection::dispatch() {
  state_ = State::answering;
  server_metrics().requests.add();
  clear_deadline();
  keep_alive_ = parser_->keep_alive();
  http_1_0_ = parser_->http_1_0();
  Request request = parser_->take();
  parser_.reset();
  request.remote = remote_;
  head_only_ = request.method == "HEAD";
  exchange_ = std::make_shared<Exchange>(
      Exchange{server_->executor, weak_from_this(), Exchange::Phase::waiting, {}, {}});
  const std::shared_ptr<Exchange> exchange = exchange_;
  try {
    server_->handler(std::move(request), Responder(std::make_shared<Responder::Handle>(exchange)));
  } catch (...) {
    if (exchange->phase == Exchange::Phase::waiting)
      respond(*exchange, status_response(500, "the server had an internal error"));
  }
  if (state_ == State::answering) start_read();
}

void Connection::refuse_request(int status, std::string_view message) {
  state_ = State::ending;
  server_metrics().refused_requests.add();
  keep_alive_ = false;
  head_only_ = false;
  http_1_0_ = false;
  const Response response = status_response(status, message);
  append_head(response.status, response.headers, response.body.size());
  pending_ += response.body;
  flush();
}

// ---- answers ----

void Connection::append_head(int status, const Headers& headers, std::optional<std::size_t> length) {
  if (server_->draining) keep_alive_ = false;
  pending_.append("HTTP/1.1 ").append(std::to_string(status)).append(" ").append(reason_phrase(status));
  pending_.append("\r\nDate: ").append(http_date(server_->executor.wall_now())).append("\r\n");
  for (const auto& [name, value] : headers)
    if (is_header_text(name) && is_header_text(value))
      pending_.append(name).append(": ").append(value).append("\r\n");
  if (has_body(status)) {
    if (length) {
      pending_.append("Content-Length: ").append(std::to_string(*length)).append("\r\n");
    } else if (http_1_0_) {
      keep_alive_ = false;
    } else {
      pending_.append("Transfer-Encoding: chunked\r\n");
    }
  } else {
    head_only_ = true;
  }
  if (!keep_alive_) {
    pending_.append("Connection: close\r\n");
  } else if (http_1_0_) {
    pending_.append("Connection: keep-alive\r\n");
  }
  pending_.append("\r\n");
}

void Connection::respond(Exchange& exchange, Response response) {
  exchange.phase = Exchange::Phase::done;
  exchange.on_close = nullptr;
  append_head(response.status, response.headers, response.body.size());
  if (!head_only_) pending_ += response.body;
  state_ = State::ending;
  flush();
}

void Connection::start_stream(Exchange& exchange, int status, Headers headers) {
  exchange.phase = Exchange::Phase::streaming;
  append_head(status, headers, std::nullopt);
  schedule_flush();
}

bool Connection::write(Exchange&, std::string_view chunk) {
  if (chunk.empty() || head_only_) return true;
  if (backlog() + chunk.size() > server_->limits.stream_buffer_bytes) {
    reset();
    return false;
  }
  if (http_1_0_) {
    pending_ += chunk;
  } else {
    char size[sizeof(std::size_t) * 2];
    const char* const end = std::to_chars(size, size + sizeof size, chunk.size(), 16).ptr;
    pending_.append(std::string_view(size, end)).append("\r\n").append(chunk).append("\r\n");
  }
  if (pending_.size() >= kFlushAt) {
    flush();
  } else {
    schedule_flush();
  }
  return true;
}

void Connection::when_drained(Exchange& exchange, std::function<void()> callback) {
  exchange.on_drained = std::move(callback);
  schedule_flush();
}

void Connection::finish(Exchange& exchange) {
  exchange.phase = Exchange::Phase::done;
  exchange.on_drained = nullptr;
  exchange.on_close = nullptr;
  if (!head_only_ && !http_1_0_) pending_ += "0\r\n\r\n";
  state_ = State::ending;
  schedule_flush();
}

void Connection::abandon(Exchange& exchange) {
  exchange.phase = Exchange::Phase::done;
  exchange.on_close = nullptr;
  keep_alive_ = false;
  state_ = State::ending;
  schedule_flush();
}

void Connection::schedule_flush() {
  if (flush_scheduled_) return;
  flush_scheduled_ = true;
  asio::post(server_->executor.context(), [self = shared_from_this()] {
    self->flush_scheduled_ = false;
    self->flush();
  });
}

void Connection::flush() {
  if (writing_ || state_ == State::closed) return;
  if (written_ == in_flight_.size()) {
    in_flight_.clear();
    written_ = 0;
    std::swap(in_flight_, pending_);
  }
  if (in_flight_.empty()) {
    if (state_ == State::ending) return answer_complete();
    if (exchange_ && exchange_->on_drained)
      server_->executor.post(std::exchange(exchange_->on_drained, nullptr));
    return;
  }
  writing_ = true;
  if (state_ != State::reading) set_deadline(server_->limits.write_timeout);
  with_stream([this](auto& stream) {
    stream.async_write_some(asio::buffer(in_flight_.data() + written_, in_flight_.size() - written_),
                            [self = shared_from_this()](const error_code& error, std::size_t size) {
                              self->on_written(error, size);
                            });
  });
}

void Connection::on_written(const error_code& error, std::size_t size) {
  writing_ = false;
  if (state_ == State::closed) return;
  if (error) return close();
  written_ += size;
  if (state_ == State::answering) clear_deadline();
  flush();
}

void Connection::answer_complete() {
  exchange_.reset();
  if (!keep_alive_ || server_->draining) return linger();
  state_ = State::reading;
  set_deadline(server_->limits.idle_timeout);
  parse();
}

// ---- the end ----

// Closing with unread input would make the kernel reset the connection, and the client could lose the answer:
// so our side ends first, and what still comes is thrown away for a while.
void Connection::linger() {
  state_ = State::lingering;
  set_deadline(kLingerTimeout);
  if (!tls_) return drain_input();
  tls_->async_shutdown([self = shared_from_this()](const error_code&) {
    if (self->state_ == State::lingering) self->drain_input();
  });
}

void Connection::drain_input() {
  error_code ignored;
  socket_.shutdown(Socket::shutdown_send, ignored);
  if (reading_) return;
  reading_ = true;
  socket_.async_read_some(asio::buffer(received_),
                          [self = shared_from_this()](const error_code& error, std::size_t size) {
                            self->reading_ = false;
                            self->on_read(error, size);
                          });
}

// The client does not read: let the kernel forget what it holds for it.
void Connection::reset() {
  server_metrics().dropped_clients.add();
  error_code ignored;
  socket_.set_option(asio::socket_base::linger(true, 0), ignored);
  close();
}

void Connection::close() {
  if (state_ == State::closed) return;
  state_ = State::closed;
  server_metrics().connections.add(-1);
  const std::shared_ptr<Connection> self = shared_from_this();  // the server may hold the last reference
  error_code ignored;
  socket_.close(ignored);
  if (const auto exchange = std::exchange(exchange_, nullptr);
      exchange &&
      (exchange->phase == Exchange::Phase::waiting || exchange->phase == Exchange::Phase::streaming)) {
    exchange->cut();
  }
  server_->connections.erase(self);
  if (server_->draining && server_->connections.empty() && server_->on_drained)
    server_->executor.post(std::exchange(server_->on_drained, nullptr));
}

}  // namespace cortensor::http
