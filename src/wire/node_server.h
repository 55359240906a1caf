// The router's end of the node channels: a gRPC server over mutual TLS 1.3 that hands authenticated links to
// the router. Threads: gRPC's own decode and post; every event arrives on the executor, and send() and
// close() are called there. Executor and events outlive the server.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/runtime/executor.h"
#include "crypto/ed25519.h"
#include "protocol/link.h"
#include "wire/outbox.h"

namespace cortensor::wire {

struct NodeServerOptions {
  std::string address = "127.0.0.1";  // IPv4, IPv6 without brackets, or a name
  std::uint16_t port = 0;             // 0: any free one
  std::size_t max_links = 4096;       // further streams are refused as overloaded
  Outbox::Limits outbox;              // per link; a peer that lets it overflow is closed
  std::chrono::milliseconds hello_timeout{10'000};
  std::chrono::milliseconds close_timeout{5'000};  // for delivering what was sent before close()
  std::chrono::milliseconds keepalive_interval{10'000};
  std::chrono::milliseconds keepalive_timeout{10'000};
};

class NodeServer final : public protocol::RouterLinks {
 public:
  static Result<std::unique_ptr<NodeServer>> listen(const NodeServerOptions& options,
                                                    const crypto::PrivateKey& key, Executor& executor,
                                                    protocol::RouterLinkEvents& events);
  // Shuts down. On the executor's thread, or after it has stopped; no event arrives afterwards.
  ~NodeServer() override;

  std::uint16_t port() const;

  // A link that ends before its Hello was accepted is never announced: no on_hello, no on_closed.
  void send(protocol::LinkId link, protocol::RouterMessage message) override;
  // No message of this link arrives any more; on_closed does.
  void close(protocol::LinkId link, const Error& why) override;

  // Refuses new links and cuts all others; returns when gRPC is done with them. Their on_closed events are
  // posted.
  void shutdown();

 private:
  class Impl;
  explicit NodeServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace cortensor::wire
