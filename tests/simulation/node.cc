#include "node.h"

#include "arith/version.h"
#include "miner/core/miner_core.h"
#include "validator/core/validator_core.h"

namespace cortensor::simulation {
namespace {

crypto::PrivateKey key_of(std::uint64_t seed, std::uint32_t number) {
  Random random(seed, "key " + std::to_string(number));
  Bytes32 bytes{};
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random.next());
  return crypto::PrivateKey::from_seed(bytes);
}

Clocks clocks_of(Random& random) {
  return {std::chrono::seconds(random.between(0, 100'000)), random.between(-2'000, 2'000),
          random.time(-60'000, 60'000)};
}

// What a liar's program does to its messages after the core has made them.
class Tongue final : public protocol::NodeLink {
 public:
  Tongue(protocol::NodeLink& link, const Machine& machine, Random& random, std::function<void()> leave)
      : link_(link), machine_(machine), random_(random), leave_(std::move(leave)) {}

  void send(protocol::NodeMessage message) override {
    if (machine_.habit != Habit::honest && random_.chance(machine_.lies_percent)) {
      if (auto* submission = std::get_if<protocol::Submission>(&message)) {
        if (machine_.habit == Habit::leaves) return leave_();
        if (machine_.habit == Habit::forges) forge(submission->commitment);
      }
      if (auto* segment = std::get_if<protocol::Segment>(&message);
          segment && machine_.habit == Habit::forges && random_.chance(30))
        forge(segment->commitment);
      if (machine_.habit == Habit::talks_on && std::holds_alternative<protocol::Steps>(message))
        link_.send(message);
    }
    link_.send(std::move(message));
  }
  void stop() override { link_.stop(); }

 private:
  void forge(protocol::Commitment& commitment) {
    switch (random_.below(4)) {
      case 0:
        ++commitment.count;
        break;
      case 1:
        commitment.root[0] ^= 1;
        break;
      case 2:
        commitment.signature[0] ^= 1;
        break;
      default:
        commitment.finish =
            commitment.finish == FinishReason::stop ? FinishReason::length : FinishReason::stop;
    }
  }

  protocol::NodeLink& link_;
  const Machine& machine_;
  Random& random_;
  std::function<void()> leave_;
};

}  // namespace

struct Node::Life {
  explicit Life(Node& node)
      : process(node.world_.timeline, node.clocks_),
        engine(process, *node.world_.model, node.machine_, node.random_),
        link(node.network_, node.path, process),
        tongue(link, node.machine_, node.random_, [&node] {
          node.world_.timeline.post([&node, life = node.life_.get()] {
            if (node.life_.get() == life) node.crash();
          });
        }) {
    protocol::Hello hello;
    hello.arithmetic_version = arith::kArithmeticVersion;
    hello.role = node.role_;
    hello.node = node.id();
    hello.join_token = node.token_;
    hello.models = {{node.world_.model->manifest, node.boast_ * node.machine_.prefill,
                     node.boast_ * node.machine_.decode}};
    if (node.boast_ > 1) hello.models.front().kv_positions = 512;
    hello.slots = node.machine_.sequences;
    hello.isa = "scalar";
    const auto bind = [&](auto made) {
      attachment.emplace(process, hello, *made,
                         protocol::Attachment::Events{{}, {}, [&node](const Error& why) {
                                                        node.world_.trace.line(node.path.name, "dismissed",
                                                                               why.message);
                                                        node.dismissed_ = true;
                                                      }});
      made->bind(*attachment);
      core = std::move(made);
    };
    if (node.role_ == protocol::Role::miner)
      bind(std::make_unique<miner::MinerCore>(process, node.key_, std::vector<engine::Engine*>{&engine},
                                              node.machine_.sequences));
    else
      bind(std::make_unique<validator::ValidatorCore>(
          process, node.key_, std::vector<engine::Engine*>{&engine}, node.machine_.sequences));
    attachment->bind(tongue);
    link.start(*attachment);
  }

  Process process;
  SimEngine engine;
  Link link;
  Tongue tongue;
  std::unique_ptr<protocol::NodeWork> core;
  std::optional<protocol::Attachment> attachment;
};

Node::Node(World& world, Network& network, protocol::Role role, const Machine& machine, std::string token)
    : world_(world),
      network_(network),
      role_(role),
      machine_(machine),
      token_(std::move(token)),
      random_(world.seed, "node " + std::to_string(machine.number)),
      key_(key_of(world.seed, machine.number)),
      clocks_(clocks_of(random_)),
      boast_(random_.chance(80) ? 1 : 0.1 * static_cast<double>(random_.between(1, 100))) {
  path.name = std::string(protocol::to_string(role)) + "-" + std::to_string(machine.number);
  path.peer = key_.node_id();
  path.least_ms = random_.between(0, 20);
  path.most_ms = path.least_ms + random_.between(1, random_.chance(20) ? 400 : 30);
  if (machine.habit != Habit::honest) world.liars.insert(path.peer);
}

Node::~Node() = default;

bool Node::busy() const {
  return life_ && life_->core->load(*life_->attachment).busy_slots > 0;
}

void Node::start() {
  if (life_ || dismissed_) return;
  world_.trace.line(path.name, "starts");
  life_ = std::make_unique<Life>(*this);
}

void Node::crash() {
  if (!life_) return;
  world_.trace.line(path.name, "crashes");
  life_.reset();
}

}  // namespace cortensor::simulation
