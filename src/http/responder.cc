// Responder and Stream: the handler's side of an exchange.
#include <utility>

#include "http/connection.h"
#include "http/status_map.h"

namespace cortensor::http {

namespace {

using Phase = Exchange::Phase;

// The connection, as long as the exchange is in that phase.
std::shared_ptr<Connection> connection_in(const Exchange& exchange, Phase phase) {
  return exchange.phase == phase ? exchange.connection.lock() : nullptr;
}

}  // namespace

void Exchange::on_close_call(std::function<void()> callback) {
  if (phase == Phase::cut) return executor.post(std::move(callback));
  if (phase != Phase::done) on_close = std::move(callback);
}

void Exchange::cut() {
  phase = Phase::cut;
  on_drained = nullptr;
  if (on_close) executor.post(std::exchange(on_close, nullptr));
}

Responder::Handle::~Handle() {
  if (const auto connection = connection_in(*exchange, Phase::waiting))
    connection->respond(*exchange, status_response(500, "the server had an internal error"));
}

void Responder::respond(Response response) const {
  if (const auto connection = connection_in(*handle_->exchange, Phase::waiting))
    connection->respond(*handle_->exchange, std::move(response));
}

Stream Responder::start_stream(int status, Headers headers) const {
  const std::shared_ptr<Exchange>& exchange = handle_->exchange;
  if (const auto connection = connection_in(*exchange, Phase::waiting)) {
    connection->start_stream(*exchange, status, std::move(headers));
    return Stream(std::make_shared<Stream::Handle>(exchange));
  }
  if (exchange->phase == Phase::cut) return Stream(std::make_shared<Stream::Handle>(exchange));
  return Stream(std::make_shared<Stream::Handle>(
      std::make_shared<Exchange>(Exchange{exchange->executor, {}, Phase::done, {}, {}})));
}

void Responder::on_close(std::function<void()> callback) const {
  handle_->exchange->on_close_call(std::move(callback));
}

Stream::Handle::~Handle() {
  if (const auto connection = connection_in(*exchange, Phase::streaming)) connection->abandon(*exchange);
}

bool Stream::write(std::string_view chunk) {
  const auto connection = connection_in(*handle_->exchange, Phase::streaming);
  return connection && connection->write(*handle_->exchange, chunk);
}

void Stream::when_drained(std::function<void()> callback) {
  if (const auto connection = connection_in(*handle_->exchange, Phase::streaming))
    connection->when_drained(*handle_->exchange, std::move(callback));
}

void Stream::finish() {
  if (const auto connection = connection_in(*handle_->exchange, Phase::streaming))
    connection->finish(*handle_->exchange);
}

void Stream::on_close(std::function<void()> callback) {
  handle_->exchange->on_close_call(std::move(callback));
}

bool Stream::open() const {
  return handle_->exchange->phase == Phase::streaming;
}

}  // namespace cortensor::http
