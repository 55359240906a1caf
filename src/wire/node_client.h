// A node's end of the channel: dials the router of a join link over mutual TLS 1.3, accepts no key but the
// one in the link, and dials again with exponential backoff until it is stopped. Threads: every event arrives
// on the executor, and send() and stop() are called there. Executor and events outlive the client.
#pragma once

#include <chrono>
#include <memory>

#include "base/result.h"
#include "base/runtime/executor.h"
#include "crypto/ed25519.h"
#include "protocol/join_link.h"
#include "protocol/link.h"
#include "wire/backoff.h"
#include "wire/outbox.h"

namespace cortensor::wire {

struct NodeClientOptions {
  Outbox::Limits outbox;  // overflow ends the connection and dials again
  Backoff::Limits backoff;
  std::chrono::milliseconds dial_timeout{10'000};
  std::chrono::milliseconds close_timeout{2'000};  // for delivering what was sent before stop()
  std::chrono::milliseconds keepalive_interval{10'000};
  std::chrono::milliseconds keepalive_timeout{10'000};
};

class NodeClient final : public protocol::NodeLink {
 public:
  // Starts the first attempt. Every attempt ends in exactly one on_disconnected, also when on_connected never
  // came, so a node can tell its owner why it is not connected. The backoff starts over once a Welcome has
  // been received.
  static Result<std::unique_ptr<NodeClient>> dial(const protocol::JoinLink& join,
                                                  const crypto::PrivateKey& key, Executor& executor,
                                                  protocol::NodeLinkEvents& events,
                                                  const NodeClientOptions& options = {});
  // Stops, and waits for what was sent to be delivered, at most close_timeout. On the executor's thread, or
  // after it has stopped; no event arrives afterwards.
  ~NodeClient() override;

  void send(protocol::NodeMessage message) override;
  // No event arrives after this.
  void stop() override;

 private:
  class Impl;
  explicit NodeClient(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace cortensor::wire
