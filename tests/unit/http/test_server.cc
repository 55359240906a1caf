#include "test_server.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>

#include "base/check.h"

namespace cortensor::http {

namespace {
constexpr int kPatienceSeconds = 10;
}

void Event::set() {
  const std::lock_guard lock(mutex_);
  set_ = true;
  changed_.notify_all();
}

bool Event::wait() {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(kPatienceSeconds), [this] { return set_; });
}

TestServer::TestServer(Handler handler, ServerOptions options) : tls_(!options.private_key_file.empty()) {
  auto server = Server::listen(executor_, std::move(options), std::move(handler));
  CORTENSOR_CHECK(server.has_value());
  server_ = std::move(*server);
  thread_ = std::thread([this] { executor_.run(); });
}

TestServer::~TestServer() {
  executor_.stop();
  thread_.join();
  server_.reset();
}

std::string TestServer::url(std::string_view path) const {
  return (tls_ ? "https://127.0.0.1:" : "http://127.0.0.1:") + std::to_string(port()) + std::string(path);
}

void TestServer::run(const std::function<void()>& work) {
  Event done;
  executor_.post([&] {
    work();
    done.set();
  });
  CORTENSOR_CHECK(done.wait());
}

RawClient::RawClient(std::uint16_t port, int receive_buffer) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
  const timeval limit{kPatienceSeconds, 0};
  const int on = 1;
  setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (receive_buffer > 0) setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CORTENSOR_CHECK(::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
}

RawClient::~RawClient() {
  close();
}

void RawClient::close() {
  if (socket_ >= 0) ::close(socket_);
  socket_ = -1;
}

void RawClient::end_sending() {
  ::shutdown(socket_, SHUT_WR);
}

bool RawClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

bool RawClient::read_some() {
  std::array<char, 65536> buffer;
  const ssize_t size = ::recv(socket_, buffer.data(), buffer.size(), 0);
  CORTENSOR_CHECK(size >= 0 || errno == ECONNRESET);  // anything else is ten seconds of silence
  reset_ = size < 0;
  if (size <= 0) return false;
  received_.append(buffer.data(), static_cast<std::size_t>(size));
  return true;
}

std::string RawClient::read_until(std::string_view text) {
  while (received_.find(text) == std::string::npos && read_some()) {
  }
  return std::exchange(received_, {});
}

std::string RawClient::read_all() {
  while (read_some()) {
  }
  return std::exchange(received_, {});
}

int count(std::string_view text, std::string_view needle) {
  int found = 0;
  for (std::size_t at = text.find(needle); at != text.npos; at = text.find(needle, at + needle.size()))
    ++found;
  return found;
}

}  // namespace cortensor::http
