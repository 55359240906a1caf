#include "http/server.h"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <vector>

#include "http/connection.h"

namespace cortensor::http {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr std::chrono::milliseconds kAcceptPause{100};  // after running out of file descriptors
constexpr int kBacklog = 1024;

std::string to_text(const tcp::endpoint& endpoint) {
  const std::string address = endpoint.address().to_string();
  return (endpoint.address().is_v6() ? "[" + address + "]" : address) + ":" + std::to_string(endpoint.port());
}

// How often deadlines are looked at: fine enough for the shortest of them.
std::chrono::milliseconds sweep_interval(const ServerLimits& limits) {
  const auto shortest =
      std::min({limits.header_timeout, limits.body_timeout, limits.idle_timeout, limits.write_timeout});
  return std::clamp(shortest / 8, std::chrono::milliseconds(5), std::chrono::milliseconds(1000));
}

}  // namespace

// Accepts, and looks at the deadlines of all connections from time to time: one timer for all of them.
class Server::Listener : public std::enable_shared_from_this<Listener> {
 public:
  Listener(AsioExecutor& executor, ServerOptions options, Handler handler, TlsContext tls)
      : state(std::make_shared<ServerState>(ServerState{executor,
                                                        options.limits,
                                                        std::move(handler),
                                                        std::move(options.uploads),
                                                        std::move(tls),
                                                        false,
                                                        {},
                                                        {}})),
        acceptor_(executor.context()) {}

  Status open(const tcp::endpoint& endpoint) {
    error_code error;
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(kBacklog, error);
    if (!error) port = acceptor_.local_endpoint(error).port();
    if (error) return fail(ErrorKind::unavailable, "listen on " + to_text(endpoint) + ": " + error.message());
    return ok();
  }

  void start() {
    accept();
    sweep();
  }

  void stop_accepting() {
    error_code ignored;
    acceptor_.close(ignored);
  }

  void close_all() {
    const auto open = state->connections;  // close() takes itself out of the set
    for (const auto& connection : open) connection->close();
  }

  void shutdown(std::chrono::milliseconds grace, std::function<void()> done) {
    stop_accepting();
    state->draining = true;
    if (state->connections.empty()) return state->executor.post(std::move(done));
    state->on_drained = std::move(done);
    const auto open = state->connections;
    for (const auto& connection : open) connection->drain();
    state->executor.at(state->executor.now() + grace, [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->close_all();
    });
  }

  const std::shared_ptr<ServerState> state;
  std::uint16_t port = 0;

 private:
  void accept() {
    acceptor_.async_accept([weak = weak_from_this()](const error_code& error, tcp::socket socket) {
      const auto self = weak.lock();
      if (!self || !self->acceptor_.is_open()) return;
      if (!error) {
        self->admit(std::move(socket));
      } else if (error == asio::error::no_descriptors || error == asio::error::no_memory ||
                 error == asio::error::no_buffer_space) {
        return self->state->executor.at(self->state->executor.now() + kAcceptPause, [weak] {
          if (const auto later = weak.lock(); later && later->acceptor_.is_open()) later->accept();
        });
      }
      self->accept();
    });
  }

  void admit(tcp::socket socket) {
    // Those being refused count as well: beyond twice the limit there is not even a refusal.
    const std::size_t open = state->connections.size();
    if (open >= 2 * state->limits.connections) return;
    error_code error;
    const tcp::endpoint remote = socket.remote_endpoint(error);
    if (error) return;  // gone already
    const auto connection = std::make_shared<Connection>(state, std::move(socket), to_text(remote));
    state->connections.insert(connection);
    if (open >= state->limits.connections) {
      connection->refuse();
    } else {
      connection->start();
    }
  }

  void sweep() {
    const Clock::time_point now = state->executor.now();
    std::vector<std::shared_ptr<Connection>> open(state->connections.begin(), state->connections.end());
    for (const auto& connection : open) connection->expire(now);
    state->executor.at(now + sweep_interval(state->limits), [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->sweep();
    });
  }

  tcp::acceptor acceptor_;
};

Result<std::unique_ptr<Server>> Server::listen(AsioExecutor& executor, ServerOptions options,
                                               Handler handler) {
  error_code error;
  const auto address = asio::ip::make_address(options.address, error);
  if (error)
    return fail(ErrorKind::invalid_input,
                "listen address: expected an IP address, found '" + options.address + "'");
  if (options.certificate_chain_file.empty() != options.private_key_file.empty())
    return fail(ErrorKind::invalid_input,
                "TLS: expected a certificate and a private key, found only one of them");
  TlsContext tls;
  if (!options.certificate_chain_file.empty()) {
    auto made = server_tls(options.certificate_chain_file, options.private_key_file);
    if (!made) return std::move(made).error();
    tls = std::move(*made);
  }
  const tcp::endpoint endpoint(address, options.port);
  auto listener =
      std::make_shared<Listener>(executor, std::move(options), std::move(handler), std::move(tls));
  if (Status opened = listener->open(endpoint); !opened) return std::move(opened).error();
  listener->start();
  return std::unique_ptr<Server>(new Server(std::move(listener)));
}

Server::~Server() {
  listener_->stop_accepting();
  listener_->state->on_drained = nullptr;
  listener_->close_all();
}

std::uint16_t Server::port() const {
  return listener_->port;
}

std::size_t Server::connections() const {
  return listener_->state->connections.size();
}

void Server::shutdown(std::chrono::milliseconds grace, std::function<void()> done) {
  listener_->shutdown(grace, std::move(done));
}

}  // namespace cortensor::http
