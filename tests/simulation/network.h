// The network between nodes and router. What TLS streams can do to messages, and nothing else: they come
// late, in order and once; a link breaks at any moment, and what was under way is lost; both ends learn of it
// at their own time, or not at all. Duplicates exist only as what is said again on a new link.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "process.h"
#include "protocol/link.h"
#include "random.h"
#include "trace.h"

namespace cortensor::simulation {

class Network;

// The wire of one node, through all of its lives.
struct Path {
  std::string name;
  NodeId peer;
  std::int64_t least_ms = 1, most_ms = 20;  // one way
  bool parted = false;                      // nothing gets through
};

struct Connection;

// A node's link: dials, and dials again.
class Link final : public protocol::NodeLink {
 public:
  // All of these outlive the link.
  Link(Network& network, Path& path, Process& process);
  ~Link() override;
  void start(protocol::NodeLinkEvents& events);
  void send(protocol::NodeMessage message) override;
  void stop() override;
  bool stopped() const { return stopped_; }

 private:
  friend class Network;
  void dial();
  void ended(const Error& why);
  void notice_silence();

  Network& network_;
  Path& path_;
  Process& process_;
  protocol::NodeLinkEvents* events_ = nullptr;
  std::shared_ptr<Connection> connection_;
  int failures_ = 0;
  bool stopped_ = false;
};

class Network final : public protocol::RouterLinks {
 public:
  Network(ManualExecutor& timeline, Trace& trace, Random random)
      : timeline_(timeline), trace_(trace), random_(random) {}

  // The router's side.
  void listen(protocol::RouterLinkEvents& router) { router_ = &router; }
  void router_dies();  // its links break; nobody listens
  void send(protocol::LinkId link, protocol::RouterMessage message) override;
  void close(protocol::LinkId link, const Error& why) override;

  // What the world does to a node's wire.
  void break_link(const Path& path);
  void part(Path& path);
  void heal(Path& path);

  // Planted bugs.
  void say_steps_twice() { says_twice_ = true; }
  void swallow_last_words() { swallows_ = true; }

  // Told of every assignment that leaves the router.
  std::function<void(const NodeId& miner, const protocol::Assign& assign)> on_assign;

 private:
  friend class Link;
  struct Ended {
    Error why;
  };
  using ToRouter = std::variant<protocol::NodeMessage, Ended>;
  using ToNode = std::variant<protocol::RouterMessage, Ended>;
  friend struct Connection;

  std::shared_ptr<Connection> connect(Link& link);
  void forget(const std::shared_ptr<Connection>& connection);
  void say_to_router(const std::shared_ptr<Connection>& connection, ToRouter what);
  void say_to_node(const std::shared_ptr<Connection>& connection, ToNode what);
  void deliver_to_router(const std::shared_ptr<Connection>& connection);
  void deliver_to_node(const std::shared_ptr<Connection>& connection);
  Clock::time_point arrival(const Path& path, Clock::time_point& last);

  ManualExecutor& timeline_;
  Trace& trace_;
  Random random_;
  protocol::RouterLinkEvents* router_ = nullptr;
  std::map<protocol::LinkId, std::shared_ptr<Connection>> connections_;
  std::vector<std::weak_ptr<Connection>> made_;  // those too that one end has left
  protocol::LinkId last_ = 0;
  bool says_twice_ = false;
  bool swallows_ = false;
};

}  // namespace cortensor::simulation
