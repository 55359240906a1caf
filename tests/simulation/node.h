// A miner or a validator: the real core on a simulated machine, through several lives.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "crypto/ed25519.h"
#include "protocol/attachment.h"
#include "sim_engine.h"
#include "world.h"

namespace cortensor::simulation {

class Node {
 public:
  // `network` is that of its router.
  Node(World& world, Network& network, protocol::Role role, const Machine& machine, std::string token);
  ~Node();

  void start();
  void crash();
  bool running() const { return life_ != nullptr; }
  bool busy() const;
  bool dismissed() const { return dismissed_; }  // the router wants it no more

  const NodeId& id() const { return path.peer; }
  protocol::Role role() const { return role_; }
  Habit habit() const { return machine_.habit; }

  Path path;

 private:
  struct Life;

  World& world_;
  Network& network_;
  const protocol::Role role_;
  const Machine machine_;
  const std::string token_;
  Random random_;
  const crypto::PrivateKey key_;
  const Clocks clocks_;
  double boast_;  // what it claims of its speed
  std::unique_ptr<Life> life_;
  bool dismissed_ = false;
};

}  // namespace cortensor::simulation
