#include "wire/node_server.h"

#include <grpcpp/security/auth_context.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <utility>
#include <vector>

#include "base/log.h"
#include "cortensor/v1/node.grpc.pb.h"
#include "crypto/x509.h"
#include "wire/credentials.h"
#include "wire/grpc_log.h"
#include "wire/server_link.h"
#include "wire/status_map.h"
#include "wire/write_thread.h"

namespace cortensor::wire {
namespace {

constexpr std::chrono::seconds kShutdownPatience{1};
constexpr int kIdleConnectionMs = 30'000;  // connections without a stream
constexpr int kHandshakeMs = 10'000;

// A stream that is refused before it becomes a link.
class RefusedStream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  explicit RefusedStream(const Error& why) { Finish(to_status(why)); }

 private:
  void OnDone() override { delete this; }
};

class RouterService final : public v1::Router::WithRawCallbackMethod_Attach<v1::Router::Service> {
 public:
  explicit RouterService(std::shared_ptr<ServerState> state) : state_(std::move(state)) {}

  // On a gRPC thread, once per stream.
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Attach(
      grpc::CallbackServerContext* context) override {
    auto peer = peer_of(*context->auth_context());
    if (!peer) return refuse(*context, peer.error());
    std::shared_ptr<ServerLink> link;
    {
      const std::lock_guard lock(state_->mutex);
      if (!state_->stopping && state_->links.size() < state_->options.max_links) {
        link = std::make_shared<ServerLink>(state_, *context, state_->next_link, std::move(*peer));
        state_->links.emplace(state_->next_link++, link);
      }
    }
    if (!link)
      return refuse(*context,
                    fail(ErrorKind::overloaded, "the router takes no more than " +
                                                    std::to_string(state_->options.max_links) + " nodes"));
    link->start();
    return link.get();  // kept by the table until its OnDone
  }

 private:
  static RefusedStream* refuse(const grpc::CallbackServerContext& context, const Error& why) {
    log::info("link_refused", {{"address", context.peer()}, {"reason", why.message}});
    return new RefusedStream(why);
  }

  const std::shared_ptr<ServerState> state_;
};

int milliseconds_of(std::chrono::milliseconds time) {
  return static_cast<int>(time.count());
}

std::string target_of(const std::string& address, std::uint16_t port) {
  const bool bare_ipv6 = address.find(':') != std::string::npos && !address.starts_with('[');
  return (bare_ipv6 ? "[" + address + "]" : address) + ":" + std::to_string(port);
}

}  // namespace

class NodeServer::Impl {
 public:
  Impl(const NodeServerOptions& options, Executor& executor, protocol::RouterLinkEvents& events)
      : state_(std::make_shared<ServerState>(options, executor, events)), service_(state_) {}

  Status start(const crypto::PrivateKey& key) {
    const NodeServerOptions& options = state_->options;
    if (auto status = crypto::require_tls13(); !status) return status;
    quiet_grpc();
    grpc::ServerBuilder builder;
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, milliseconds_of(options.keepalive_interval));
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, milliseconds_of(options.keepalive_timeout));
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                               milliseconds_of(options.keepalive_interval) / 2);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 1);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, kIdleConnectionMs);
    builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeMs);
    builder.SetMaxReceiveMessageSize(static_cast<int>(kMaxNodeFrameBytes));
    builder.SetMaxSendMessageSize(static_cast<int>(protocol::kMaxFrameBytes));
    builder.RegisterService(&service_);
    const std::string target = target_of(options.address, options.port);
    builder.AddListeningPort(target, server_credentials(key), &port_);
    server_ = builder.BuildAndStart();
    if (!server_ || port_ <= 0) return fail(ErrorKind::unavailable, "cannot listen on " + target);
    return ok();
  }

  void shutdown() {
    if (!server_) return;
    std::vector<std::shared_ptr<ServerLink>> links;
    {
      const std::lock_guard lock(state_->mutex);
      state_->stopping = true;
      for (const auto& [id, link] : state_->links) links.push_back(link);
    }
    for (const auto& link : links)
      link->end(fail(ErrorKind::unavailable, "the router is shutting down"), ServerLink::End::drop);
    links.clear();
    server_->Shutdown(std::chrono::system_clock::now() + kShutdownPatience);  // then it cancels what is left
    server_->Wait();
    server_.reset();
  }

  void send(protocol::LinkId id, const protocol::RouterMessage& message) {
    auto link = find(id);
    if (!link) return;
    link->send(message);
    writes_.write(std::move(link));
  }

  std::shared_ptr<ServerLink> find(protocol::LinkId id) {
    const std::lock_guard lock(state_->mutex);
    const auto found = state_->links.find(id);
    return found == state_->links.end() ? nullptr : found->second;
  }

  std::uint16_t port() const { return static_cast<std::uint16_t>(port_); }
  void forget_events() { state_->events = nullptr; }

 private:
  const std::shared_ptr<ServerState> state_;
  RouterService service_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
  WriteThread writes_;
};

NodeServer::NodeServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

NodeServer::~NodeServer() {
  impl_->shutdown();
  impl_->forget_events();
}

Result<std::unique_ptr<NodeServer>> NodeServer::listen(const NodeServerOptions& options,
                                                       const crypto::PrivateKey& key, Executor& executor,
                                                       protocol::RouterLinkEvents& events) {
  auto impl = std::make_unique<Impl>(options, executor, events);
  if (auto status = impl->start(key); !status) return std::move(status).error();
  return std::unique_ptr<NodeServer>(new NodeServer(std::move(impl)));
}

std::uint16_t NodeServer::port() const {
  return impl_->port();
}

void NodeServer::send(protocol::LinkId link, protocol::RouterMessage message) {
  impl_->send(link, message);
}

void NodeServer::close(protocol::LinkId link, const Error& why) {
  const auto found = impl_->find(link);
  if (!found) return;
  found->abandon();
  found->end(why, ServerLink::End::drain);
}

void NodeServer::shutdown() {
  impl_->shutdown();
}

}  // namespace cortensor::wire
