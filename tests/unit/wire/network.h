// A router and nodes on loopback whose events are recorded; tests wait for what they expect to have been
// recorded.
#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "crypto/ed25519.h"
#include "protocol/link.h"
#include "test_executor.h"
#include "wire/node_client.h"
#include "wire/node_server.h"

namespace cortensor::wire {

inline crypto::PrivateKey test_key(std::uint8_t number) {
  Bytes32 seed{};
  seed.fill(number);
  return crypto::PrivateKey::from_seed(seed);
}

inline protocol::Hello hello_of(const crypto::PrivateKey& key) {
  protocol::Hello hello;
  hello.node = key.node_id();
  hello.join_token = "token";
  hello.slots = 1;
  return hello;
}

// Records under a mutex and lets a test wait. The time limit only ends a test that fails anyway.
class Recorder {
 public:
  template <class Condition>
  [[nodiscard]] bool wait(Condition condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(60), condition);
  }

 protected:
  template <class Change>
  void record(Change change) {
    const std::lock_guard lock(mutex_);
    change();
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
};

class Router final : public protocol::RouterLinkEvents, public Recorder {
 public:
  explicit Router(NodeServerOptions options = {}, crypto::PrivateKey key = test_key(200))
      : options_(std::move(options)), key_(std::move(key)) {
    start();
  }
  ~Router() override { stop(); }

  void start() {
    auto server = NodeServer::listen(options_, key_, executor, *this);
    ASSERT_TRUE(server) << server.error().message;
    options_.port = (*server)->port();
    executor.call([&] { server_ = std::move(*server); });
  }
  void stop() {
    executor.call([&] { server_.reset(); });
  }
  void shutdown() {
    executor.call([&] { server_->shutdown(); });
  }

  protocol::JoinLink join() const { return {"127.0.0.1", options_.port, key_.node_id(), "token"}; }
  std::uint16_t port() const { return options_.port; }
  const crypto::PrivateKey& key() const { return key_; }

  void send(protocol::LinkId link, protocol::RouterMessage message) {
    executor.post([this, link, m = std::move(message)] { server_->send(link, m); });
  }
  void close(protocol::LinkId link, Error why) {
    executor.post([this, link, why] { server_->close(link, why); });
  }

  void on_hello(protocol::LinkId link, const NodeId& peer, protocol::Hello hello) override {
    EXPECT_EQ(peer, hello.node);
    if (welcome) server_->send(link, protocol::Welcome{key_.node_id(), 1000});
    record([&] { hellos.emplace_back(link, std::move(hello)); });
  }
  void on_message(protocol::LinkId link, protocol::NodeMessage message) override {
    record([&] { messages.emplace_back(link, std::move(message)); });
  }
  void on_closed(protocol::LinkId link, const Error& why) override {
    record([&] { closed.emplace_back(link, why); });
  }

  TestExecutor executor;
  bool welcome = false;  // every hello
  std::vector<std::pair<protocol::LinkId, protocol::Hello>> hellos;
  std::vector<std::pair<protocol::LinkId, protocol::NodeMessage>> messages;
  std::vector<std::pair<protocol::LinkId, Error>> closed;

 private:
  NodeServerOptions options_;
  const crypto::PrivateKey key_;
  std::unique_ptr<NodeServer> server_;  // executor's thread
};

inline NodeClientOptions quick() {
  NodeClientOptions options;
  options.backoff = {std::chrono::milliseconds(5), std::chrono::milliseconds(50)};
  return options;
}

class Node final : public protocol::NodeLinkEvents, public Recorder {
 public:
  Node(TestExecutor& executor, const protocol::JoinLink& join, const crypto::PrivateKey& key,
       NodeClientOptions options = quick())
      : hello_(hello_of(key)), executor_(executor) {
    executor.call([&] {
      auto client = NodeClient::dial(join, key, executor, *this, options);
      ASSERT_TRUE(client) << client.error().message;
      client_ = std::move(*client);
    });
  }
  ~Node() override { destroy(); }

  void destroy() {
    executor_.call([&] { client_.reset(); });
  }
  void send(protocol::NodeMessage message) {
    executor_.post([this, m = std::move(message)] { client_->send(m); });
  }
  void stop() {
    executor_.call([&] { client_->stop(); });
  }
  // What the next connection says.
  void say(protocol::Hello next) {
    executor_.call([&] { hello_ = std::move(next); });
  }

  void on_connected() override {
    client_->send(hello_);
    record([&] { ++connected; });
  }
  void on_message(protocol::RouterMessage message) override {
    record([&] { messages.push_back(std::move(message)); });
  }
  void on_disconnected(const Error& why) override {
    record([&] { disconnected.push_back(why); });
  }

  std::size_t connected = 0;
  std::vector<protocol::RouterMessage> messages;
  std::vector<Error> disconnected;

 private:
  protocol::Hello hello_;  // executor's thread
  TestExecutor& executor_;
  std::unique_ptr<NodeClient> client_;  // executor's thread
};

}  // namespace cortensor::wire
