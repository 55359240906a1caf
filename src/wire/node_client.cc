#include "wire/node_client.h"

#include <utility>

#include "crypto/random.h"
#include "crypto/x509.h"
#include "wire/client_link.h"

namespace cortensor::wire {

// Lives on the executor; timers and links refer to it weakly.
class NodeClient::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(protocol::JoinLink join, const crypto::PrivateKey& key, Executor& executor,
       protocol::NodeLinkEvents& events, const NodeClientOptions& options)
      : join_(std::move(join)),
        key_(key),
        executor_(executor),
        events_(events),
        options_(options),
        backoff_(options.backoff) {}

  void start() {
    if (!stopped_) dial();
  }

  void send(const protocol::NodeMessage& message) {
    if (link_ && !stopped_) link_->send(message);
  }

  void stop() {
    if (stopped_) return;
    stopped_ = true;
    if (!link_) return;
    link_->finish();
    executor_.at(executor_.now() + options_.close_timeout, [weak = std::weak_ptr(link_)] {
      if (const auto link = weak.lock()) link->cancel(fail(ErrorKind::cancelled, "stopped"));
    });
  }

  void wait_until_stopped() {
    if (!link_ || link_->wait_until_done(options_.close_timeout)) return;
    link_->cancel(fail(ErrorKind::cancelled, "stopped"));
    link_->wait_until_done();
  }

 private:
  void dial() {
    // The link reports while it lives; whether that is still wanted is asked here.
    const auto report = [weak = weak_from_this()](auto what) {
      const auto self = weak.lock();
      if (self && !self->stopped_) what(*self);
    };
    link_ = ClientLink::start(
        join_, key_, executor_, options_,
        {.connected = [report] { report([](Impl& self) { self.events_.on_connected(); }); },
         .message =
             [report](protocol::RouterMessage message) {
               report([&](Impl& self) { self.on_message(std::move(message)); });
             },
         .ended = [report](const Error& why) { report([&](Impl& self) { self.on_ended(why); }); }});
  }

  void on_message(protocol::RouterMessage message) {
    if (std::holds_alternative<protocol::Welcome>(message)) backoff_.reset();
    events_.on_message(std::move(message));
  }

  void on_ended(const Error& why) {
    link_.reset();
    events_.on_disconnected(why);
    if (stopped_) return;
    executor_.at(executor_.now() + backoff_.next(crypto::random_u64()), [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->start();
    });
  }

  const protocol::JoinLink join_;
  const crypto::PrivateKey key_;
  Executor& executor_;
  protocol::NodeLinkEvents& events_;
  const NodeClientOptions options_;
  Backoff backoff_;
  std::shared_ptr<ClientLink> link_;  // null between two attempts
  bool stopped_ = false;
};

NodeClient::NodeClient(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

NodeClient::~NodeClient() {
  impl_->stop();
  impl_->wait_until_stopped();
}

Result<std::unique_ptr<NodeClient>> NodeClient::dial(const protocol::JoinLink& join,
                                                     const crypto::PrivateKey& key, Executor& executor,
                                                     protocol::NodeLinkEvents& events,
                                                     const NodeClientOptions& options) {
  if (auto status = crypto::require_tls13(); !status) return std::move(status).error();
  auto impl = std::make_shared<Impl>(join, key, executor, events, options);
  executor.post([weak = std::weak_ptr(impl)] {
    if (const auto self = weak.lock()) self->start();
  });
  return std::unique_ptr<NodeClient>(new NodeClient(std::move(impl)));
}

void NodeClient::send(protocol::NodeMessage message) {
  impl_->send(message);
}

void NodeClient::stop() {
  impl_->stop();
}

}  // namespace cortensor::wire
