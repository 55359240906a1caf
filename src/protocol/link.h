// The transport as the roles see it: a few calls and a few events, all on the role's executor. wire/ has the
// gRPC form; tests and simulations have their own.
#pragma once

#include <cstdint>

#include "base/ids.h"
#include "base/result.h"
#include "protocol/message.h"

namespace cortensor::protocol {

// One connection of a node to this router; never reused.
using LinkId = std::uint64_t;

// What a router hears. `peer` is authenticated: the holder of that key is at the other end.
class RouterLinkEvents {
 public:
  virtual ~RouterLinkEvents() = default;
  virtual void on_hello(LinkId link, const NodeId& peer,
                        Hello hello) = 0;                         // always first; hello.node == peer
  virtual void on_message(LinkId link, NodeMessage message) = 0;  // never a Hello
  virtual void on_closed(LinkId link, const Error& why) = 0;      // exactly once, last
};

class RouterLinks {
 public:
  virtual ~RouterLinks() = default;
  virtual void send(LinkId link, RouterMessage message) = 0;  // dropped when the link is closed
  virtual void close(LinkId link, const Error& why) = 0;      // a Refusal sent before is still delivered
};

// What a node hears from its router.
class NodeLinkEvents {
 public:
  virtual ~NodeLinkEvents() = default;
  virtual void on_connected() = 0;  // send the Hello now
  virtual void on_message(RouterMessage message) = 0;
  virtual void on_disconnected(const Error& why) = 0;  // the link dials again by itself, with backoff
};

class NodeLink {
 public:
  virtual ~NodeLink() = default;
  virtual void send(NodeMessage message) = 0;  // dropped when not connected
  virtual void stop() = 0;                     // closes and dials no more
};

}  // namespace cortensor::protocol
