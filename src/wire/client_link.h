// One attempt of a node to be connected: from dialing to the end of the stream, never reused. Reactions run
// on gRPC's threads: they decode, post, and drain the outbox. As at the router, the next message is read when
// the one before has been delivered.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/client_callback.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/runtime/executor.h"
#include "protocol/join_link.h"
#include "wire/codec.h"
#include "wire/credentials.h"
#include "wire/node_client.h"
#include "wire/outbox.h"

namespace cortensor::wire {

class ClientLink final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                         public std::enable_shared_from_this<ClientLink> {
 public:
  // Called on the executor; `ended` exactly once and last.
  struct Events {
    std::function<void()> connected;
    std::function<void(protocol::RouterMessage)> message;
    std::function<void(const Error&)> ended;
  };

  static std::shared_ptr<ClientLink> start(const protocol::JoinLink& join, const crypto::PrivateKey& key,
                                           Executor& executor, const NodeClientOptions& options,
                                           Events events);

  // Executor's thread. Dropped before `connected` and after the end.
  void send(const protocol::NodeMessage& message);
  // Delivers what was sent, then half-closes; what arrives is dropped.
  void finish();
  // Ends the stream now; `why` is reported unless it is ending already.
  void cancel(const Error& why);
  // True when gRPC is done with this link.
  bool wait_until_done(std::chrono::milliseconds at_most);
  void wait_until_done();

 private:
  ClientLink(const protocol::JoinLink& join, Executor& executor, const NodeClientOptions& options,
             Events events);
  void begin(const crypto::PrivateKey& key);

  void OnReadInitialMetadataDone(bool good) override;
  void OnReadDone(bool good) override;
  void OnWriteDone(bool good) override;
  void OnDone(const grpc::Status& status) override;

  void deliver(protocol::RouterMessage message);
  void read_next_locked();
  void cancel_locked(const Error& why);
  void drain_locked();
  void release_locked();
  Error reason_locked(const grpc::Status& status) const;

  const std::string address_;  // HOST:PORT
  const NodeId router_;
  Executor& executor_;
  const NodeClientOptions options_;
  const Events events_;
  const std::shared_ptr<Pin> pin_;
  grpc::ClientContext context_;
  std::shared_ptr<ClientLink> self_;  // until OnDone

  struct Done {
    std::mutex mutex;
    std::condition_variable changed;
    bool done = false;
  };
  const std::shared_ptr<Done> done_ = std::make_shared<Done>();  // outlives this link in OnDone

  grpc::ByteBuffer incoming_;
  SequenceCheck incoming_sequence_;  // touched by the reaction of the one read that is under way

  // gRPC runs no reaction of this stream inside a Start… or RemoveHold call, so these are made with the mutex
  // held.
  std::mutex mutex_;
  Outbox outbox_;
  grpc::ByteBuffer outgoing_;
  std::uint64_t sent_ = 0;
  bool connected_ = false;  // and told so: nothing is sent before the Hello
  bool reading_ = false;
  bool finishing_ = false;    // by finish()
  bool writes_done_ = false;  // half-closed
  bool released_ = false;     // nothing may be started any more
  std::optional<Error> why_;  // our own reason to cancel
};

}  // namespace cortensor::wire
