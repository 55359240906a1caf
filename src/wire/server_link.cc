#include "wire/server_link.h"

#include <utility>

#include "base/log.h"
#include "wire/bytes.h"
#include "wire/status_map.h"

namespace cortensor::wire {

using protocol::Hello;
using protocol::NodeMessage;

namespace {

// Bytes of undelivered messages at which a link stops reading.
constexpr std::size_t kReadAhead = 64 << 10;

}  // namespace

void ServerLink::start() {
  state_->executor.at(state_->executor.now() + state_->options.hello_timeout, [weak = weak_from_this()] {
    const auto link = weak.lock();
    if (link && !link->heard_)
      link->end(fail(ErrorKind::timed_out, "no Hello within the time allowed"), End::drop);
  });
  const std::lock_guard lock(mutex_);
  StartSendInitialMetadata();  // tells the node that it is connected
  read_next_locked();
}

void ServerLink::send(const protocol::RouterMessage& message) {
  const std::lock_guard lock(mutex_);
  if (why_) return;
  std::string frame = encode(RouterFrame{++sent_, message});
  if (frame.size() > protocol::kMaxFrameBytes)
    return end_locked(
        fail(ErrorKind::internal, "a frame of " + std::to_string(frame.size()) + " bytes was to be sent"),
        End::drop);
  if (!outbox_.push(std::move(frame)))
    return end_locked(
        fail(ErrorKind::overloaded, "the node reads too slowly: " + std::to_string(outbox_.frames()) +
                                        " frames, " + std::to_string(outbox_.bytes()) + " bytes wait"),
        End::cut);
}

void ServerLink::write() {
  const std::lock_guard lock(mutex_);
  drain_locked();
}

void ServerLink::end(const Error& why, End how) {
  const std::lock_guard lock(mutex_);
  end_locked(why, how);
}

void ServerLink::end_locked(const Error& why, End how) {
  if (finished_) return;
  if (!why_) {
    why_ = why;
    how_ = how;
    if (how != End::cut)
      state_->executor.at(state_->executor.now() + state_->options.close_timeout, [weak = weak_from_this()] {
        if (const auto link = weak.lock()) link->end(Error{}, End::cut);
      });
  } else {
    how_ = std::max(how_, how);
  }
  if (how == End::cut) context_.TryCancel();  // a write that is stuck fails now
  drain_locked();
}

void ServerLink::drain_locked() {
  if (finished_ || outbox_.writing()) return;
  if (!why_ || how_ == End::drain) {
    if (const std::string* frame = outbox_.begin_write()) {
      outgoing_ = to_buffer(*frame);
      StartWrite(&outgoing_);
      return;
    }
  }
  if (!why_) return;
  finished_ = true;
  Finish(to_status(*why_));
}

void ServerLink::OnReadDone(bool good) {
  if (!good) return end(fail(ErrorKind::unavailable, "the node closed the connection"), End::drain);
  const std::size_t bytes = incoming_.Length();
  auto frame = with_bytes_of(incoming_, decode_node_frame);
  const Status accepted = frame ? accept(std::move(*frame), bytes) : Status(std::move(frame).error());
  if (!accepted) return end(accepted.error(), End::drop);
  const std::lock_guard lock(mutex_);
  reading_ = false;
  read_next_locked();
}

// The rules of docs/spec/wire.md for what a node may send next.
Status ServerLink::accept(NodeFrame frame, std::size_t bytes) {
  if (auto status = incoming_sequence_.next(frame.sequence); !status) return status;
  const auto* hello = std::get_if<Hello>(&frame.message);
  const bool first = !greeted_;
  if (first && hello == nullptr) return fail(ErrorKind::invalid_input, "the first message is not a Hello");
  if (!first && hello != nullptr) return fail(ErrorKind::invalid_input, "a second Hello");
  if (first && hello->node != peer_)
    return fail(ErrorKind::unauthenticated,
                "certificate is of node " + peer_.value + ", hello claims " + hello->node.value);
  greeted_ = true;
  {
    const std::lock_guard lock(mutex_);
    undelivered_ += bytes;
  }
  state_->executor.post([self = shared_from_this(), message = std::move(frame.message), bytes,
                         first]() mutable { self->deliver(std::move(message), bytes, first); });
  return ok();
}

void ServerLink::deliver(NodeMessage message, std::size_t bytes, bool first) {
  heard_ = true;
  if (!abandoned_ && state_->events != nullptr) {
    if (first)
      state_->events->on_hello(id_, peer_, std::get<Hello>(std::move(message)));
    else
      state_->events->on_message(id_, std::move(message));
  }
  const std::lock_guard lock(mutex_);
  undelivered_ -= bytes;
  read_next_locked();
}

void ServerLink::read_next_locked() {
  if (why_ || reading_ || undelivered_ > kReadAhead) return;
  reading_ = true;
  StartRead(&incoming_);
}

void ServerLink::OnWriteDone(bool good) {
  const std::lock_guard lock(mutex_);
  outbox_.end_write();
  if (!good) return end_locked(fail(ErrorKind::unavailable, "the connection broke"), End::cut);
  drain_locked();
}

void ServerLink::OnCancel() {
  end(fail(ErrorKind::unavailable, "the node is gone"), End::cut);
}

void ServerLink::OnDone() {
  // Nothing of gRPC touches this link any more, so why_ is read without the mutex.
  if (greeted_) {
    state_->executor.post([self = shared_from_this()] {
      if (self->state_->events != nullptr) self->state_->events->on_closed(self->id_, *self->why_);
    });
  } else {
    log::info("link_refused", {{"node", peer_.value}, {"reason", why_->message}});
  }
  // This link may be destroyed at the end of this function, and not while the table is locked.
  const auto state = state_;
  decltype(state->links)::node_type self;
  const std::lock_guard lock(state->mutex);
  self = state->links.extract(id_);
}

}  // namespace cortensor::wire
