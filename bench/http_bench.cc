// What the HTTP layer costs: requests per second and round-trip times of a trivial handler, next to the same
// bytes through a bare socket echo, and the time from Stream::write() to the client for many streams at once.
//   http_bench [seconds per part]
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"
#include "http/server.h"
#include "http/sse.h"

namespace cortensor::http {
namespace {

constexpr std::string_view kRequest =
    "POST /v1/x HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer sk-0123456789abcdef\r\n"
    "Content-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"prompt\":\"\"}";

int connect_to(std::uint16_t port) {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CORTENSOR_CHECK(::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  return socket;
}

void send_all(int socket, std::string_view bytes) {
  CORTENSOR_CHECK(::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
                  static_cast<ssize_t>(bytes.size()));
}

std::size_t receive(int socket, std::array<char, 65536>& buffer) {
  const ssize_t size = ::recv(socket, buffer.data(), buffer.size(), 0);
  CORTENSOR_CHECK(size > 0);
  return static_cast<std::size_t>(size);
}

double median_of(std::vector<double>& values, double quantile = 0.5) {
  std::ranges::sort(values);
  return values[static_cast<std::size_t>(static_cast<double>(values.size() - 1) * quantile)];
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// One request after the other on each of `connections`; every answer fits one packet.
void requests(const char* name, std::uint16_t port, int connections, double seconds) {
  std::vector<pollfd> sockets;
  std::vector<Clock::time_point> sent;
  std::vector<double> round_trips;
  std::array<char, 65536> buffer;
  for (int i = 0; i < connections; ++i) sockets.push_back({connect_to(port), POLLIN, 0});
  const Clock::time_point start = Clock::now();
  for (const pollfd& one : sockets) {
    send_all(one.fd, kRequest);
    sent.push_back(Clock::now());
  }
  while (seconds_since(start) < seconds) {
    ::poll(sockets.data(), sockets.size(), 1000);
    for (std::size_t i = 0; i < sockets.size(); ++i) {
      if ((sockets[i].revents & POLLIN) == 0) continue;
      receive(sockets[i].fd, buffer);
      round_trips.push_back(seconds_since(sent[i]) * 1e6);
      sent[i] = Clock::now();
      send_all(sockets[i].fd, kRequest);
    }
  }
  const double elapsed = seconds_since(start);
  for (const pollfd& one : sockets) ::close(one.fd);
  const double rate = static_cast<double>(round_trips.size()) / elapsed;
  const double median = median_of(round_trips);
  std::printf("%-28s %3d connections  %8.0f requests/s  median %6.0f us  p99 %6.0f us\n", name, connections,
              rate, median, median_of(round_trips, 0.99));
}

// Sends back what comes, a blocking thread per connection: what the kernel alone costs.
std::uint16_t bare_echo() {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  CORTENSOR_CHECK(::bind(listener, reinterpret_cast<sockaddr*>(&address), size) == 0);
  CORTENSOR_CHECK(::listen(listener, 16) == 0);
  CORTENSOR_CHECK(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  std::thread([listener] {
    while (true) {
      const int peer = ::accept(listener, nullptr, nullptr);
      std::thread([peer] {
        std::array<char, 65536> buffer;
        ssize_t got = 0;
        while ((got = ::recv(peer, buffer.data(), buffer.size(), 0)) > 0)
          ::send(peer, buffer.data(), static_cast<std::size_t>(got), MSG_NOSIGNAL);
        ::close(peer);
      }).detach();
    }
  }).detach();
  return ntohs(address.sin_port);
}

// One event to each of `clients` per round; the time until each has arrived, and the processor time of the
// server.
void streams(AsioExecutor& executor, std::vector<Stream>& open, std::uint16_t port, int clients,
             double seconds) {
  std::vector<pollfd> sockets;
  std::array<char, 65536> buffer;
  for (int i = 0; i < clients; ++i) {
    sockets.push_back({connect_to(port), POLLIN, 0});
    send_all(sockets.back().fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    receive(sockets.back().fd, buffer);
  }
  const std::string event = sse_data(std::string(200, 'x'));
  std::vector<double> delays;
  std::vector<double> writing;  // on the executor's thread
  const Clock::time_point start = Clock::now();
  while (seconds_since(start) < seconds) {
    const Clock::time_point round = Clock::now();
    executor.post([&] {
      const Clock::time_point begin = Clock::now();
      for (Stream& stream : open) stream.write(event);
      executor.post([&, begin] { writing.push_back(seconds_since(begin) * 1e6 / clients); });
    });
    int missing = clients;
    while (missing > 0) {
      ::poll(sockets.data(), sockets.size(), 1000);
      for (pollfd& one : sockets) {
        if ((one.revents & POLLIN) == 0) continue;
        receive(one.fd, buffer);
        delays.push_back(seconds_since(round) * 1e6);
        --missing;
      }
    }
  }
  std::promise<void> settled;
  executor.post([&] { executor.post([&] { settled.set_value(); }); });
  settled.get_future().wait();
  for (const pollfd& one : sockets) ::close(one.fd);
  const double median = median_of(delays);
  std::printf(
      "%-28s %3d streams      write() to client: median %6.0f us  p99 %6.0f us  server %4.1f us per event\n",
      "events to all at once", clients, median, median_of(delays, 0.99), median_of(writing));
}

int run(double seconds) {
  AsioExecutor executor;
  std::vector<Stream> open;
  auto server = Server::listen(executor, {}, [&](Request request, Responder responder) {
    if (request.path != "/stream")
      return responder.respond(200, {{"Content-Type", "application/json"}}, "{}");
    open.push_back(responder.start_stream(200, sse_headers()));
    open.back().on_close([&] { std::erase_if(open, [](const Stream& one) { return !one.open(); }); });
  });
  CORTENSOR_CHECK(server.has_value());
  std::thread thread([&] { executor.run(); });
  const std::uint16_t echo = bare_echo();
  for (const int connections : {1, 32}) {
    requests("bare socket echo", echo, connections, seconds);
    requests("trivial handler", (*server)->port(), connections, seconds);
  }
  for (const int clients : {1, 200}) streams(executor, open, (*server)->port(), clients, seconds);
  executor.stop();
  thread.join();
  open.clear();
  return 0;
}

}  // namespace
}  // namespace cortensor::http

int main(int count, char** arguments) {
  char* end = nullptr;
  const double seconds = count > 1 ? std::strtod(arguments[1], &end) : 3.0;
  if (count > 2 || (end != nullptr && *end != '\0') || !(seconds > 0 && seconds <= 3600)) {
    std::fprintf(stderr, "usage: %s [SECONDS]\n", arguments[0]);
    return 2;
  }
  return cortensor::http::run(seconds);
}
