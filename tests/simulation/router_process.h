// A router: the real core and the real ledger, on a disk and a machine that fail. Two may share the ledger;
// then the disk only fills up and refuses to sync, as it is the ledger's server that would lose its power,
// not they.
#pragma once

#include <memory>
#include <vector>

#include "crypto/ed25519.h"
#include "ledger/ledger.h"
#include "ledger/settler.h"
#include "router/core/router_core.h"
#include "world.h"

namespace cortensor::simulation {

class SimSettler;

class RouterProcess {
 public:
  // `number`: 0 or 1, which network it listens to. `shares`: there is another one.
  RouterProcess(World& world, const router::Catalogue& catalogue, std::size_t number, bool shares);
  ~RouterProcess();

  // Tries until the disk lets it.
  void start();
  // As the operator does: what runs may end, for a moment.
  void stop();
  void die(End how);
  void die_at_write(int n, End how);  // alone only
  bool running() const { return core_ != nullptr && !dying_; }
  void set_wall(std::chrono::milliseconds wrong);

  router::RouterCore& core() { return *core_; }
  ledger::Ledger& ledger() { return *ledger_; }
  Process& process() { return *process_; }
  const NodeId& id() const { return id_; }

  // Told when it is gone: whoever waited for an answer gets none.
  std::function<void()> on_death;

 private:
  void dead();

  World& world_;
  Network& network_;
  const router::Catalogue& catalogue_;
  const std::string name_;
  const bool shares_;
  Random random_;
  const crypto::PrivateKey key_;
  const NodeId id_;
  Clocks clocks_;
  bool dying_ = false;  // what still runs of it reaches nobody
  std::unique_ptr<Process> process_;
  std::unique_ptr<ledger::Ledger> ledger_;
  std::unique_ptr<ledger::Ledger> settling_;
  std::unique_ptr<SimSettler> settler_;
  std::unique_ptr<router::RouterCore> core_;
};

// The ledger on the world's disk.
Result<std::unique_ptr<ledger::Ledger>> open_ledger(World& world);

}  // namespace cortensor::simulation
