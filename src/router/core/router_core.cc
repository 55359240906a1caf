#include "router/core/router_core.h"

#include "base/hex.h"
#include "base/log.h"
#include "base/metrics.h"
#include "engine/engine.h"

namespace cortensor::router {
namespace {

constexpr std::chrono::seconds kExpiryInterval{1};
constexpr std::uint32_t kMaxSlots = 1024;
constexpr int kSilentBeats = 3;

}  // namespace

RouterCore::RouterCore(CoreOptions options, const Catalogue& catalogue, const crypto::PrivateKey& key,
                       Executor& executor, ledger::Ledger& ledger, ledger::Settler& settler,
                       protocol::RouterLinks& links)
    : options_(std::move(options)),
      catalogue_(catalogue),
      executor_(executor),
      ledger_(ledger),
      links_(links),
      id_(key.node_id()),
      nodes_(executor),
      allocator_(nodes_, executor),
      conduct_(ledger, nodes_, links, executor, options_),
      sessions_(ledger, options_, id_),
      receipts_(options_.max_receipts, options_.max_receipt_positions),
      decisions_(options_.max_receipts),
      tasks_({options_, key, executor, ledger, settler, links, nodes_, allocator_, decisions_, conduct_,
              sessions_, receipts_}),
      alive_(std::make_shared<bool>(true)) {}

RouterCore::~RouterCore() {
  *alive_ = false;
}

void RouterCore::start() {
  tick();
}

void RouterCore::schedule_tick() {
  executor_.at(executor_.now() + options_.tick, [this, alive = alive_] {
    if (*alive) tick();
  });
}

void RouterCore::tick() {
  const Clock::time_point now = executor_.now();
  if (now >= next_expiry_check_) {
    next_expiry_check_ = now + kExpiryInterval;
    if (const auto status = sessions_.expire(executor_.wall_now()); !status)
      log::warning("expiry_failed", {{"error", status.error().message}});
    conduct_.retry();
  }
  // Only after what has come while the ledger was waited for: nobody is silent who was not listened to.
  executor_.post([this, alive = alive_] {
    if (*alive) look_around();
  });
}

void RouterCore::look_around() {
  const Clock::time_point now = executor_.now();
  for (const auto& [link, node] : nodes_.nodes())
    if (now - node.last_heard > kSilentBeats * options_.heartbeat)
      links_.close(link, fail(ErrorKind::timed_out, "no heartbeat"));
  tasks_.tick();
  metrics::gauge("cortensor_router_tasks", "Tasks in flight").set(static_cast<std::int64_t>(tasks_.tasks()));
  for (const QueueClass queue_class : kQueueClasses)
    metrics::gauge("cortensor_router_waiting", "Answers that wait for a miner",
                   "class=\"" + std::string(to_string(queue_class)) + "\"")
        .set(static_cast<std::int64_t>(tasks_.waiting().size(queue_class)));
  metrics::gauge("cortensor_router_nodes", "Nodes attached")
      .set(static_cast<std::int64_t>(nodes_.nodes().size()));
  schedule_tick();
}

Result<TaskId> RouterCore::submit(TaskSpec spec, std::shared_ptr<TaskListener> listener) {
  if (draining_) return fail(ErrorKind::unavailable, "the router is shutting down");
  const protocol::ModelManifest& model = spec.model->manifest;
  for (const GenerationRequest& request : spec.requests)
    if (auto status = engine::check_request(request, model.vocabulary, model.context_length); !status)
      return status.error();
  return tasks_.submit(std::move(spec), std::move(listener));
}

Result<AttachedNode> RouterCore::admit(protocol::LinkId link, const protocol::Hello& hello) {
  if (draining_) return fail(ErrorKind::unavailable, "the router is shutting down");
  if (hello.protocol_version != protocol::kProtocolVersion)
    return fail(ErrorKind::unsupported, "protocol: expected version " +
                                            std::to_string(protocol::kProtocolVersion) + ", found " +
                                            std::to_string(hello.protocol_version));
  if (hello.arithmetic_version != options_.arithmetic_version)
    return fail(ErrorKind::unsupported, "arithmetic: expected version " +
                                            std::to_string(options_.arithmetic_version) + ", found " +
                                            std::to_string(hello.arithmetic_version));
  if (hello.slots == 0 || hello.slots > kMaxSlots)
    return fail(ErrorKind::invalid_input, "slots: expected 1 to " + std::to_string(kMaxSlots) + ", found " +
                                              std::to_string(hello.slots));
  if (hello.models.empty())
    return fail(ErrorKind::invalid_input, "models: expected at least one, found none");

  AttachedNode node;
  for (const protocol::ModelOffer& offer : hello.models) {
    const ServedModel* served = catalogue_.find_weights(offer.manifest.weights);
    if (served == nullptr) {
      const ServedModel* same_name = catalogue_.find(offer.manifest.id);
      if (same_name != nullptr)
        return fail(ErrorKind::unsupported, "model " + offer.manifest.id + ": expected weights " +
                                                to_hex(same_name->manifest.weights) + ", found " +
                                                to_hex(offer.manifest.weights));
      return fail(ErrorKind::unsupported, "model " + offer.manifest.id + " is not served here");
    }
    const protocol::ModelManifest& manifest = served->manifest;
    if (offer.manifest.context_length != manifest.context_length ||
        offer.manifest.vocabulary != manifest.vocabulary)
      return fail(ErrorKind::unsupported,
                  "model " + manifest.id + ": the context or vocabulary is another one");
    AttachedModel& model = node.models.emplace_back();
    model.id = manifest.id;
    model.weights = manifest.weights;
    model.kv_positions = offer.kv_positions;
  }
  if (auto status = conduct_.admissible(hello.node); !status) return status.error();
  const WallTime now = executor_.wall_now();
  if (auto status = ledger_.admit_node(hello.join_token, hello.node, hello.role, now); !status)
    return status.error();
  if (const auto known = ledger_.node(hello.node); known) node.strikes = known->strikes;
  node.link = link;
  node.id = hello.node;
  node.role = hello.role;
  node.isa = hello.isa;
  node.slots = hello.slots;
  node.only_for = hello.only_for;
  node.last_heard = executor_.now();
  return node;
}

void RouterCore::on_hello(protocol::LinkId link, const NodeId& peer, protocol::Hello hello) {
  hello.node = peer;
  auto node = admit(link, hello);
  if (!node) {
    log::warning(
        "node_refused",
        {{"node", peer.value}, {"role", protocol::to_string(hello.role)}, {"reason", node.error().message}});
    links_.send(link, protocol::Refusal{node.error().kind, node.error().message});
    links_.close(link, node.error());
    return;
  }
  // The newer connection of a node is the living one.
  if (const AttachedNode* old = nodes_.find(peer, hello.role); old != nullptr) {
    const protocol::LinkId stale = old->link;
    nodes_.remove(stale);
    tasks_.on_node_gone(stale);
    // A second process with the same key would take the place back for ever: the first one is told to give
    // up.
    const Error why =
        fail(ErrorKind::conflict, "another connection with this node's key has taken its place");
    links_.send(stale, protocol::Refusal{why.kind, why.message});
    links_.close(stale, why);
  }
  log::info("node_attached", {{"node", peer.value},
                              {"role", protocol::to_string(hello.role)},
                              {"isa", hello.isa},
                              {"slots", hello.slots},
                              {"models", hello.models.size()}});
  nodes_.add(std::move(*node), hello.models);
  links_.send(link, protocol::Welcome{id_, static_cast<std::uint32_t>(options_.heartbeat.count())});
  tasks_.pump();
}

void RouterCore::on_message(protocol::LinkId link, protocol::NodeMessage message) {
  AttachedNode* node = nodes_.find(link);
  if (node == nullptr || node->quarantined) return;
  node->last_heard = executor_.now();
  if (const auto* steps = std::get_if<protocol::Steps>(&message))
    tasks_.on_steps(link, *steps);
  else if (const auto* segment = std::get_if<protocol::Segment>(&message))
    tasks_.on_segment(link, *segment);
  else if (const auto* submission = std::get_if<protocol::Submission>(&message))
    tasks_.on_submission(link, *submission);
  else if (const auto* failed = std::get_if<protocol::AttemptFailed>(&message))
    tasks_.on_attempt_failed(link, *failed);
  else if (const auto* result = std::get_if<protocol::CheckResult>(&message))
    tasks_.on_check_result(link, *result);
  else if (const auto* beat = std::get_if<protocol::Heartbeat>(&message); beat != nullptr) {
    if (nodes_.heard(*node, *beat)) tasks_.pump();
  } else if (std::holds_alternative<protocol::Hello>(message))
    conduct_.strike(NodeId(node->id), "a second hello");
}

void RouterCore::on_closed(protocol::LinkId link, const Error& why) {
  const AttachedNode* node = nodes_.find(link);
  if (node == nullptr) return;
  log::info("node_detached", {{"node", node->id.value}, {"reason", why.message}});
  nodes_.remove(link);
  tasks_.on_node_gone(link);
}

}  // namespace cortensor::router
