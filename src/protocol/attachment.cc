#include "protocol/attachment.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace cortensor::protocol {
namespace {

// Whether dialling again can change the router's mind.
bool may_pass(ErrorKind kind) {
  return kind == ErrorKind::unavailable || kind == ErrorKind::overloaded || kind == ErrorKind::timed_out;
}

}  // namespace

Attachment::Attachment(Executor& executor, Hello hello, NodeWork& work, Events events)
    : executor_(executor),
      hello_(std::move(hello)),
      work_(work),
      events_(std::move(events)),
      alive_(std::make_shared<bool>(true)) {}

Attachment::~Attachment() {
  *alive_ = false;
}

void Attachment::send(NodeMessage message) {
  if (attached_) link_->send(std::move(message));
}

void Attachment::tell_load() {
  if (!attached_) return;
  Heartbeat load = work_.load(*this);
  const std::uint32_t busy = std::exchange(load.busy_slots, told_.busy_slots);
  if (load == told_) return;
  load.busy_slots = busy;
  link_->send(told_ = std::move(load));
}

void Attachment::on_connected() {
  CORTENSOR_CHECK(link_ != nullptr);
  ++connection_;
  link_->send(hello_);
}

void Attachment::on_message(RouterMessage message) {
  if (const auto* welcome = std::get_if<Welcome>(&message)) {
    attached_ = true;
    hello_.join_token.clear();  // admitted: from now on our key is enough
    heartbeat_ = std::chrono::milliseconds(std::clamp<std::uint32_t>(welcome->heartbeat_ms, 50, 60'000));
    if (events_.attached) events_.attached();
    beat(connection_);
  } else if (const auto* refusal = std::get_if<Refusal>(&message)) {
    if (may_pass(refusal->kind)) return;  // the router closes now, and the link dials again
    give_up(Error{refusal->kind, refusal->message});
  } else if (attached_) {
    work_.on_work(*this, std::move(message));
  }
}

void Attachment::on_disconnected(const Error& why) {
  const bool was_attached = attached_;
  attached_ = false;
  ++connection_;
  if (was_attached) work_.on_detached(*this);
  // A Hello that the router cannot read is the same at the next attempt.
  if (!was_attached && why.kind == ErrorKind::invalid_input) return give_up(why);
  if (events_.lost) events_.lost(why);
}

void Attachment::give_up(const Error& why) {
  link_->stop();
  if (events_.refused_for_good) events_.refused_for_good(why);
}

void Attachment::beat(std::uint64_t connection) {
  if (!attached_ || connection != connection_) return;
  link_->send(told_ = work_.load(*this));
  executor_.at(executor_.now() + heartbeat_, [this, connection, alive = alive_] {
    if (*alive) beat(connection);
  });
}

}  // namespace cortensor::protocol
