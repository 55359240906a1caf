// Plain sockets for the tests that need an ill-behaved network.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <list>
#include <thread>
#include <utility>
#include <vector>

namespace cortensor::wire {

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&&) = delete;
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

inline sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

inline Socket connect_to(std::uint16_t port) {
  Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = loopback(port);
  if (::connect(socket.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return Socket(-1);
  return socket;
}

// Listens; the kernel completes connections, nobody need accept them.
class Listener {
 public:
  Listener() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    if (::bind(socket_.fd(), reinterpret_cast<sockaddr*>(&address), size) == 0 &&
        ::listen(socket_.fd(), 16) == 0 &&
        ::getsockname(socket_.fd(), reinterpret_cast<sockaddr*>(&address), &size) == 0)
      port_ = ntohs(address.sin_port);
  }
  std::uint16_t port() const { return port_; }
  int fd() const { return socket_.fd(); }
  Socket accept() { return Socket(::accept4(socket_.fd(), nullptr, nullptr, SOCK_CLOEXEC)); }

 private:
  Socket socket_;
  std::uint16_t port_ = 0;
};

// Forwards connections to a port until it is frozen; then it keeps them open and moves nothing: what a
// machine without power or a dead route looks like from outside.
class Proxy {
 public:
  explicit Proxy(std::uint16_t target) : target_(target), thread_([this] { run(); }) {}
  ~Proxy() {
    stop_ = true;
    thread_.join();
  }
  std::uint16_t port() const { return listener_.port(); }
  void freeze() { frozen_ = true; }

 private:
  void run() {
    std::list<std::pair<Socket, Socket>> pairs;
    while (!stop_) {
      std::vector<pollfd> watched;
      if (!frozen_) {
        watched.push_back({listener_.fd(), POLLIN, 0});
        for (const auto& [a, b] : pairs) {
          watched.push_back({a.fd(), POLLIN, 0});
          watched.push_back({b.fd(), POLLIN, 0});
        }
      }
      ::poll(watched.data(), watched.size(), 10);
      if (watched.empty()) continue;
      std::size_t at = 1;
      for (const auto& [a, b] : pairs) {
        forward(watched[at].revents, a.fd(), b.fd());
        forward(watched[at + 1].revents, b.fd(), a.fd());
        at += 2;
      }
      if (watched[0].revents & POLLIN) {
        Socket incoming = listener_.accept();
        pairs.emplace_back(std::move(incoming), connect_to(target_));
      }
    }
  }
  static void forward(short events, int from, int to) {
    if (events == 0) return;
    std::array<char, 65536> data{};
    const ssize_t size = ::recv(from, data.data(), data.size(), MSG_DONTWAIT);
    if (size > 0)
      ::send(to, data.data(), static_cast<std::size_t>(size), MSG_NOSIGNAL);
    else if (size == 0)
      ::shutdown(to, SHUT_WR);
  }

  const std::uint16_t target_;
  Listener listener_;
  std::atomic<bool> frozen_{false};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace cortensor::wire
