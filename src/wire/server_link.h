// One node's stream at the router. Reactions run on gRPC's threads: they decode, post, and drain the outbox.
// Reading goes on while little waits for the executor, so a peer that sends faster than the router works is
// slowed by HTTP/2 flow control.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "base/runtime/executor.h"
#include "protocol/link.h"
#include "wire/codec.h"
#include "wire/node_server.h"
#include "wire/outbox.h"

namespace cortensor::wire {

class ServerLink;

// What the links share with their server and may outlive it by a moment.
struct ServerState {
  ServerState(const NodeServerOptions& o, Executor& e, protocol::RouterLinkEvents& v)
      : options(o), executor(e), events(&v) {}

  const NodeServerOptions options;
  Executor& executor;
  protocol::RouterLinkEvents* events;  // executor's thread; null once the server is gone

  std::mutex mutex;  // guards what follows
  std::map<protocol::LinkId, std::shared_ptr<ServerLink>> links;
  protocol::LinkId next_link = 1;
  bool stopping = false;
};

class ServerLink final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                         public std::enable_shared_from_this<ServerLink> {
 public:
  enum class End {
    drain,  // deliver what waits, then finish with a status
    drop,   // finish with a status as soon as the write in flight is done
    cut,    // cancel the stream now
  };

  ServerLink(std::shared_ptr<ServerState> state, grpc::CallbackServerContext& context, protocol::LinkId id,
             NodeId peer)
      : state_(std::move(state)),
        context_(context),
        id_(id),
        peer_(std::move(peer)),
        outbox_(state_->options.outbox) {}

  void start();
  // Into the outbox; write() starts on it.
  void send(const protocol::RouterMessage& message);
  void write();
  // The first reason counts; a later call can only hurry the end.
  void end(const Error& why, End how);
  // Executor's thread: deliver no more messages.
  void abandon() { abandoned_ = true; }

 private:
  void OnReadDone(bool good) override;
  void OnWriteDone(bool good) override;
  void OnCancel() override;
  void OnDone() override;

  Status accept(NodeFrame frame, std::size_t bytes);
  void deliver(protocol::NodeMessage message, std::size_t bytes, bool first);
  void read_next_locked();
  void end_locked(const Error& why, End how);
  void drain_locked();

  const std::shared_ptr<ServerState> state_;
  grpc::CallbackServerContext& context_;  // valid until OnDone
  const protocol::LinkId id_;
  const NodeId peer_;  // from the certificate
  // Executor's thread.
  bool heard_ = false;      // the Hello has been delivered
  bool abandoned_ = false;  // the router wants no more messages

  // Touched by the reaction of the one read that is under way.
  grpc::ByteBuffer incoming_;
  SequenceCheck incoming_sequence_;
  bool greeted_ = false;  // an acceptable Hello has been posted; OnDone comes after all reads

  // gRPC runs no reaction of this stream inside a Start… or Finish call, so these are made with the mutex
  // held: thereby nothing is started after Finish.
  std::mutex mutex_;
  bool reading_ = false;
  std::size_t undelivered_ = 0;  // bytes of the messages in the executor's hands
  Outbox outbox_;
  grpc::ByteBuffer outgoing_;
  std::uint64_t sent_ = 0;
  std::optional<Error> why_;  // set: ending
  End how_ = End::drain;
  bool finished_ = false;
};

}  // namespace cortensor::wire
