#include "network.h"

#include <algorithm>

namespace cortensor::simulation {
namespace {

constexpr std::chrono::milliseconds kKeepalive{3'000};

// What of a message belongs into a trace: no bytes that are new in every run, such as a cache's salt.
struct Describe {
  Trace& trace;
  const std::string& who;
  void operator()(const protocol::Hello& m) const { trace.line(who, "hello", protocol::to_string(m.role)); }
  void operator()(const protocol::Steps& m) const {
    trace.line(who, "steps", m.attempt, m.first, m.steps.size(), m.steps.empty() ? 0 : m.steps.back().token);
  }
  void operator()(const protocol::Segment& m) const {
    trace.line(who, "segment", m.commitment.attempt, m.commitment.count,
               to_hex(m.commitment.signature).substr(0, 8));
  }
  void operator()(const protocol::Submission& m) const {
    trace.line(who, "submission", m.commitment.attempt, m.commitment.count,
               to_hex(m.commitment.signature).substr(0, 8));
  }
  void operator()(const protocol::AttemptFailed& m) const {
    trace.line(who, "failed", m.attempt, to_string(m.kind));
  }
  void operator()(const protocol::CheckResult& m) const {
    trace.line(who, "verdict", m.attempt, static_cast<int>(m.verdict.outcome),
               to_hex(m.verdict.signature).substr(0, 8));
  }
  void operator()(const protocol::Heartbeat& m) const { trace.line(who, "heartbeat", m.busy_slots); }
  void operator()(const protocol::Welcome&) const { trace.line("to", who, "welcome"); }
  void operator()(const protocol::Refusal& m) const {
    trace.line("to", who, "refusal", to_string(m.kind), m.message);
  }
  void operator()(const protocol::Assign& m) const {
    trace.line("to", who, "assign", m.attempt, m.request.prompt.size(), m.given.size());
  }
  void operator()(const protocol::Cancel& m) const { trace.line("to", who, "cancel", m.attempt); }
  void operator()(const protocol::Check& m) const {
    trace.line("to", who, "check", m.commitment.attempt, m.steps.size());
  }
};

}  // namespace

struct Connection {
  template <class What>
  struct Queue {
    std::deque<std::pair<Clock::time_point, What>> items;
    Clock::time_point last{};
    bool closed = false;  // whoever speaks into it has gone
  };
  protocol::LinkId id = 0;
  Path* path = nullptr;
  Link* node = nullptr;     // null: that end is gone
  bool router_open = true;  // the router has not closed it
  bool greeted = false;     // the router has heard a Hello
  Queue<Network::ToRouter> to_router;
  Queue<Network::ToNode> to_node;
};

// ---- the node's end ----

Link::Link(Network& network, Path& path, Process& process)
    : network_(network), path_(path), process_(process) {}

Link::~Link() {
  if (connection_) network_.forget(std::exchange(connection_, nullptr));
}

void Link::start(protocol::NodeLinkEvents& events) {
  events_ = &events;
  dial();
}

void Link::dial() {
  if (stopped_) return;
  const auto round_trip = network_.random_.time(2 * path_.least_ms, 2 * path_.most_ms);
  process_.after(round_trip, [this] {
    if (stopped_) return;
    if (network_.router_ == nullptr || path_.parted)
      return ended(fail(ErrorKind::unavailable, "nobody answers"));
    connection_ = network_.connect(*this);
    process_.after(kKeepalive, [this] { notice_silence(); });
    events_->on_connected();
  });
}

void Link::ended(const Error& why) {
  if (connection_) network_.forget(std::exchange(connection_, nullptr));
  if (stopped_) return;
  events_->on_disconnected(why);
  if (stopped_) return;
  const std::int64_t longest = std::min(50 << std::min(failures_++, 6), 2'000);
  process_.after(network_.random_.time(longest / 2, longest), [this] { dial(); });
}

// Keepalive: a wire that is dead is noticed at some time.
void Link::notice_silence() {
  if (!connection_) return;
  if (path_.parted) return ended(fail(ErrorKind::unavailable, "no sign of life"));
  process_.after(kKeepalive, [this, now = connection_] {
    if (connection_ == now) notice_silence();
  });
}

void Link::send(protocol::NodeMessage message) {
  if (!connection_ || stopped_) return;
  if (network_.swallows_ && std::holds_alternative<protocol::AttemptFailed>(message)) return;
  const bool twice = network_.says_twice_ && std::holds_alternative<protocol::Steps>(message);
  if (twice) network_.say_to_router(connection_, message);
  network_.say_to_router(connection_, std::move(message));
}

void Link::stop() {
  stopped_ = true;
  if (connection_) network_.forget(std::exchange(connection_, nullptr));
}

// ---- the wire ----

std::shared_ptr<Connection> Network::connect(Link& link) {
  auto connection = std::make_shared<Connection>();
  connection->id = ++last_;
  connection->path = &link.path_;
  connection->node = &link;
  connections_[connection->id] = connection;
  std::erase_if(made_, [](const auto& one) { return one.expired(); });
  made_.push_back(connection);
  return connection;
}

Clock::time_point Network::arrival(const Path& path, Clock::time_point& last) {
  const auto usual = std::chrono::microseconds(random_.between(1000 * path.least_ms, 1000 * path.most_ms));
  return last = std::max(last, timeline_.now() + usual);
}

// The node's end is gone; what it said last may still arrive, or not.
void Network::forget(const std::shared_ptr<Connection>& connection) {
  connection->node = nullptr;
  connection->to_node.items.clear();
  if (random_.chance(50)) connection->to_router.items.clear();
  say_to_router(connection, Ended{fail(ErrorKind::unavailable, "the node closed the connection")});
}

void Network::say_to_router(const std::shared_ptr<Connection>& connection, ToRouter what) {
  if (!connection->router_open || connection->to_router.closed) return;
  connection->to_router.closed = std::holds_alternative<Ended>(what);
  const auto when = arrival(*connection->path, connection->to_router.last);
  connection->to_router.items.emplace_back(when, std::move(what));
  timeline_.at(when, [this, connection] { deliver_to_router(connection); });
}

void Network::say_to_node(const std::shared_ptr<Connection>& connection, ToNode what) {
  if (connection->node == nullptr || connection->to_node.closed) return;
  connection->to_node.closed = std::holds_alternative<Ended>(what);
  const auto when = arrival(*connection->path, connection->to_node.last);
  connection->to_node.items.emplace_back(when, std::move(what));
  timeline_.at(when, [this, connection] { deliver_to_node(connection); });
}

void Network::deliver_to_router(const std::shared_ptr<Connection>& connection) {
  auto& items = connection->to_router.items;
  while (!connection->path->parted && !items.empty() && items.front().first <= timeline_.now()) {
    ToRouter what = std::move(items.front().second);
    items.pop_front();
    if (!connection->router_open || router_ == nullptr) continue;
    const std::string& who = connection->path->name;
    if (auto* message = std::get_if<protocol::NodeMessage>(&what)) {
      std::visit(Describe{trace_, who}, *message);
      if (auto* hello = std::get_if<protocol::Hello>(message)) {
        connection->greeted = true;
        router_->on_hello(connection->id, connection->path->peer, std::move(*hello));
      } else {
        router_->on_message(connection->id, std::move(*message));
      }
    } else {
      trace_.line(who, "closed");
      connection->router_open = false;
      connections_.erase(connection->id);
      if (connection->greeted && router_ != nullptr)
        router_->on_closed(connection->id, std::get<Ended>(what).why);
    }
  }
}

void Network::deliver_to_node(const std::shared_ptr<Connection>& connection) {
  auto& items = connection->to_node.items;
  while (connection->node != nullptr && !connection->path->parted && !items.empty() &&
         items.front().first <= timeline_.now()) {
    ToNode what = std::move(items.front().second);
    items.pop_front();
    Link& link = *connection->node;
    if (auto* message = std::get_if<protocol::RouterMessage>(&what)) {
      std::visit(Describe{trace_, connection->path->name}, *message);
      if (std::holds_alternative<protocol::Welcome>(*message)) link.failures_ = 0;
      link.events_->on_message(std::move(*message));
    } else {
      trace_.line("to", connection->path->name, "closed");
      link.ended(std::get<Ended>(what).why);
    }
  }
}

void Network::send(protocol::LinkId link, protocol::RouterMessage message) {
  const auto found = connections_.find(link);
  if (router_ == nullptr || found == connections_.end() || !found->second->router_open) return;
  if (const auto* assign = std::get_if<protocol::Assign>(&message); assign != nullptr && on_assign)
    on_assign(found->second->path->peer, *assign);
  say_to_node(found->second, std::move(message));
}

void Network::close(protocol::LinkId link, const Error& why) {
  const auto found = connections_.find(link);
  if (router_ == nullptr || found == connections_.end() || !found->second->router_open) return;
  const std::shared_ptr<Connection> connection = found->second;
  connection->router_open = false;
  connection->to_router.items.clear();
  say_to_node(connection, Ended{why});
  timeline_.at(timeline_.now() + random_.time(0, 20), [this, connection, why, router = router_] {
    if (connections_.erase(connection->id) > 0 && connection->greeted && router_ == router)
      router_->on_closed(connection->id, why);
  });
}

void Network::router_dies() {
  router_ = nullptr;
  for (const auto& [id, connection] : connections_) {
    connection->router_open = false;
    connection->to_router.items.clear();
    if (random_.chance(50)) connection->to_node.items.clear();
    say_to_node(connection, Ended{fail(ErrorKind::unavailable, "the connection broke")});
  }
  connections_.clear();
}

// In the middle: either end learns of it on its own.
void Network::break_link(const Path& path) {
  for (const auto& [id, connection] : connections_) {
    if (connection->path != &path || !connection->router_open || connection->node == nullptr ||
        connection->to_node.closed)
      continue;
    trace_.line(path.name, "link breaks");
    connection->to_node.items.clear();
    connection->to_router.items.clear();
    const Error why = fail(ErrorKind::unavailable, "the connection broke");
    say_to_node(connection, Ended{why});
    if (random_.chance(70))
      say_to_router(connection, Ended{why});
    else
      connection->to_router.closed = true;  // the router hears nothing more and has to find out by itself
    return;
  }
}

void Network::part(Path& path) {
  trace_.line(path.name, "parted");
  path.parted = true;
}

void Network::heal(Path& path) {
  if (!path.parted) return;
  trace_.line(path.name, "healed");
  path.parted = false;
  for (const auto& one : std::vector(made_))
    if (const auto connection = one.lock(); connection && connection->path == &path) {
      deliver_to_router(connection);
      deliver_to_node(connection);
    }
}

}  // namespace cortensor::simulation
