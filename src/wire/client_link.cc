#include "wire/client_link.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/support/channel_arguments.h>

#include <utility>

#include "wire/bytes.h"
#include "wire/grpc_log.h"
#include "wire/status_map.h"

namespace cortensor::wire {
namespace {

constexpr char kAttach[] = "/cortensor.v1.Router/Attach";

int milliseconds_of(std::chrono::milliseconds time) {
  return static_cast<int>(time.count());
}

grpc::ChannelArguments arguments_of(const NodeId& router, const NodeClientOptions& options) {
  grpc::ChannelArguments arguments;
  // The router's certificate carries its id as its name; the name is only for asking, the pin decides.
  arguments.SetSslTargetNameOverride(router.value);
  // Each attempt is one connection of its own, and nobody but us decides when to dial again.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, milliseconds_of(options.dial_timeout));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, milliseconds_of(options.keepalive_interval));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, milliseconds_of(options.keepalive_timeout));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetMaxReceiveMessageSize(static_cast<int>(protocol::kMaxFrameBytes));
  arguments.SetMaxSendMessageSize(static_cast<int>(kMaxNodeFrameBytes));
  return arguments;
}

}  // namespace

ClientLink::ClientLink(const protocol::JoinLink& join, Executor& executor, const NodeClientOptions& options,
                       Events events)
    : address_(join.host + ":" + std::to_string(join.port)),
      router_(join.router),
      executor_(executor),
      options_(options),
      events_(std::move(events)),
      pin_(std::make_shared<Pin>(address_, join.router)),
      outbox_(options.outbox) {}

std::shared_ptr<ClientLink> ClientLink::start(const protocol::JoinLink& join, const crypto::PrivateKey& key,
                                              Executor& executor, const NodeClientOptions& options,
                                              Events events) {
  const std::shared_ptr<ClientLink> link(new ClientLink(join, executor, options, std::move(events)));
  link->begin(key);
  return link;
}

void ClientLink::begin(const crypto::PrivateKey& key) {
  quiet_grpc();
  self_ = shared_from_this();
  executor_.at(executor_.now() + options_.dial_timeout, [weak = weak_from_this()] {
    const auto link = weak.lock();
    if (!link) return;
    const std::lock_guard lock(link->mutex_);
    if (!link->connected_)
      link->cancel_locked(fail(ErrorKind::timed_out, "no answer within the time allowed"));
  });
  const auto channel = grpc::CreateCustomChannel("dns:///" + address_, channel_credentials(key, pin_),
                                                 arguments_of(router_, options_));
  grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer> stub(channel);
  stub.PrepareBidiStreamingCall(&context_, kAttach, grpc::StubOptions(), this);
  const std::lock_guard lock(mutex_);
  AddHold();  // until release_locked(): things are started from outside of reactions
  reading_ = true;
  StartRead(&incoming_);
  StartCall();
}

void ClientLink::send(const protocol::NodeMessage& message) {
  const std::lock_guard lock(mutex_);
  if (!connected_ || finishing_ || released_) return;
  std::string frame = encode(NodeFrame{++sent_, message});
  if (frame.size() > kMaxNodeFrameBytes)
    return cancel_locked(
        fail(ErrorKind::internal, "a frame of " + std::to_string(frame.size()) + " bytes was to be sent"));
  if (!outbox_.push(std::move(frame)))
    return cancel_locked(
        fail(ErrorKind::overloaded, "the router reads too slowly: " + std::to_string(outbox_.frames()) +
                                        " frames, " + std::to_string(outbox_.bytes()) + " bytes wait"));
  drain_locked();
}

void ClientLink::drain_locked() {
  if (released_ || outbox_.writing() || writes_done_) return;
  if (const std::string* frame = outbox_.begin_write()) {
    outgoing_ = to_buffer(*frame);
    StartWrite(&outgoing_);
  } else if (finishing_) {
    writes_done_ = true;
    StartWritesDone();
  }
}

void ClientLink::finish() {
  const std::lock_guard lock(mutex_);
  if (!connected_) return cancel_locked(fail(ErrorKind::cancelled, "stopped"));
  finishing_ = true;
  drain_locked();
  read_next_locked();
}

void ClientLink::cancel(const Error& why) {
  const std::lock_guard lock(mutex_);
  cancel_locked(why);
}

void ClientLink::cancel_locked(const Error& why) {
  if (!why_) why_ = why;
  context_.TryCancel();
  release_locked();
}

void ClientLink::release_locked() {
  if (released_) return;
  released_ = true;
  RemoveHold();
}

void ClientLink::read_next_locked() {
  if (reading_ || released_) return;
  reading_ = true;
  StartRead(&incoming_);
}

void ClientLink::OnReadInitialMetadataDone(bool good) {
  if (!good) return;
  executor_.post([self = shared_from_this()] {
    {
      const std::lock_guard lock(self->mutex_);
      self->connected_ = true;
    }
    self->events_.connected();
  });
}

void ClientLink::OnReadDone(bool good) {
  auto frame = good ? with_bytes_of(incoming_, decode_router_frame) : Result<RouterFrame>(Error{});
  const std::lock_guard lock(mutex_);
  reading_ = false;
  if (!good) return release_locked();  // the status follows
  if (finishing_) return read_next_locked();
  const Status in_order = frame ? incoming_sequence_.next(frame->sequence) : Status(std::move(frame).error());
  if (!in_order) return cancel_locked(in_order.error());
  executor_.post([self = shared_from_this(), message = std::move(frame->message)]() mutable {
    self->deliver(std::move(message));
  });
}

void ClientLink::deliver(protocol::RouterMessage message) {
  events_.message(std::move(message));
  const std::lock_guard lock(mutex_);
  read_next_locked();
}

void ClientLink::OnWriteDone(bool good) {
  const std::lock_guard lock(mutex_);
  outbox_.end_write();
  if (good) drain_locked();  // otherwise the read fails too and the status follows
}

void ClientLink::OnDone(const grpc::Status& status) {
  // The last reference to a channel must not go on one of gRPC's threads: it may join them. So the executor
  // gets ours, and this link may be gone as soon as it has been posted.
  const auto done = done_;
  Error why;
  {
    const std::lock_guard lock(mutex_);
    why = reason_locked(status);
  }
  executor_.post([self = std::move(self_), why = std::move(why)] { self->events_.ended(why); });
  const std::lock_guard lock(done->mutex);
  done->done = true;
  done->changed.notify_all();
}

Error ClientLink::reason_locked(const grpc::Status& status) const {
  if (auto mismatch = pin_->mismatch()) return *std::move(mismatch);
  Error why = why_ ? *why_ : to_error(status);
  return std::move(why).context("router at " + address_);
}

bool ClientLink::wait_until_done(std::chrono::milliseconds at_most) {
  std::unique_lock lock(done_->mutex);
  return done_->changed.wait_for(lock, at_most, [this] { return done_->done; });
}

void ClientLink::wait_until_done() {
  std::unique_lock lock(done_->mutex);
  done_->changed.wait(lock, [this] { return done_->done; });
}

}  // namespace cortensor::wire
