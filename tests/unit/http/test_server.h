// For the tests of this folder: a server on a thread of its own, and a raw client socket that sends what it
// is told.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "http/client.h"
#include "http/route_table.h"
#include "http/server.h"

namespace cortensor::http {

// Set from one thread, awaited on another.
class Event {
 public:
  void set();
  // False after ten seconds without set().
  bool wait();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool set_ = false;
};

class TestServer {
 public:
  // Port 0 on the loopback; any failure ends the test program.
  explicit TestServer(Handler handler, ServerOptions options = {});
  ~TestServer();

  std::uint16_t port() const { return server_->port(); }
  std::string url(std::string_view path) const;
  AsioExecutor& executor() { return executor_; }
  Server& server() { return *server_; }
  // Runs the work on the executor's thread and waits for it.
  void run(const std::function<void()>& work);

 private:
  AsioExecutor executor_;
  std::unique_ptr<Server> server_;
  bool tls_ = false;
  std::thread thread_;
};

// A blocking socket with a time limit of ten seconds on everything.
class RawClient {
 public:
  // receive_buffer: the kernel's, 0 for its default.
  explicit RawClient(std::uint16_t port, int receive_buffer = 0);
  ~RawClient();
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool send(std::string_view bytes);
  // Reads until the text has arrived or the connection ended; returns everything read since the last call.
  std::string read_until(std::string_view text);
  // Reads until the end of the connection. A reset counts as one and sets was_reset().
  std::string read_all();
  bool was_reset() const { return reset_; }
  void end_sending();
  void close();

 private:
  bool read_some();
  int socket_ = -1;
  bool reset_ = false;
  std::string received_;
};

// How often `needle` occurs.
int count(std::string_view text, std::string_view needle);

}  // namespace cortensor::http
