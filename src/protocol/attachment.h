// A node's standing with its router: says hello on every connection, keeps the heartbeat, and tells the role
// what it is given to do. Lives on the executor.
#pragma once

#include <functional>
#include <memory>

#include "base/runtime/executor.h"
#include "protocol/link.h"

namespace cortensor::protocol {

class Attachment;

// The part of a role that its attachments call, one for each router.
class NodeWork {
 public:
  virtual ~NodeWork() = default;
  virtual void on_work(Attachment& router, RouterMessage message) = 0;  // Assign, Cancel or Check
  virtual void on_detached(Attachment& router) = 0;  // the connection is gone: so is all work it gave
  virtual Heartbeat load(const Attachment& router) const = 0;
};

class Attachment final : public NodeLinkEvents {
 public:
  struct Events {
    std::function<void()> attached;                      // the router said welcome
    std::function<void(const Error&)> lost;              // the link dials again by itself
    std::function<void(const Error&)> refused_for_good;  // no retry can help
  };

  // `work` and `executor` outlive the attachment.
  Attachment(Executor& executor, Hello hello, NodeWork& work, Events events);
  ~Attachment() override;

  // Before the first event arrives. The link is borrowed.
  void bind(NodeLink& link) { link_ = &link; }
  bool attached() const { return attached_; }
  void send(NodeMessage message);
  // Tells the router what it cannot have of the node, if that is something else than it knows.
  void tell_load();

  void on_connected() override;
  void on_message(RouterMessage message) override;
  void on_disconnected(const Error& why) override;

 private:
  void beat(std::uint64_t connection);
  void give_up(const Error& why);

  Executor& executor_;
  Hello hello_;
  NodeWork& work_;
  Events events_;
  NodeLink* link_ = nullptr;
  bool attached_ = false;
  Heartbeat told_;
  std::uint64_t connection_ = 0;  // counts connections, so that an old heartbeat chain ends
  std::chrono::milliseconds heartbeat_{1000};
  std::shared_ptr<bool> alive_;  // false once destroyed: timers on the executor look first
};

}  // namespace cortensor::protocol
