#include "simulation.h"

#include <algorithm>
#include <array>

#include "customer.h"
#include "node.h"
#include "protocol/canonical.h"
#include "router_process.h"
#include "toy_model.h"

namespace cortensor::simulation {
namespace {

constexpr std::int64_t kOpening = 5'000'000;  // micro-credits of every account

class Simulation {
 public:
  Simulation(std::uint64_t seed, Fault fault, bool print) : world_(seed, fault, print) {
    (void)catalogue_.add(router::make_model());
    world_.model = catalogue_.models().front().get();
    for (Network& network : world_.networks)
      network.on_assign = [this](const NodeId& miner, const protocol::Assign& assign) {
        for (const auto& node : nodes_)
          if (node->id() == miner && changes_answers(node->habit()))
            world_.forged_requests.insert(protocol::request_digest(assign.model, assign.request));
      };
    const std::size_t routers = Random(seed, "routers").chance(30) ? 2 : 1;
    for (std::size_t i = 0; i < routers; ++i) {
      routers_.push_back(std::make_unique<RouterProcess>(world_, catalogue_, i, routers > 1));
      routers_.back()->on_death = [this, dead = routers_.back().get()] {
        for (const auto& customer : customers_) customer->router_died(*dead);
      };
    }
  }

  Outcome run() {
    set_up();
    for (const auto& router : routers_) router->start();
    for (const auto& node : nodes_) later(0, 2'000, [&node] { node->start(); });
    const auto end = world_.timeline.now() + random_.time(10'000, 30'000);
    for (const auto& customer : customers_) customer->live(end);
    plan_accidents(end);
    pass(end - world_.timeline.now());
    rest();
    check_end();
    return outcome();
  }

 private:
  void set_up() {
    const auto ledger = open_ledger(world_);
    const WallTime now = world_.timeline.wall_now();
    (void)(*ledger)->set_price(world_.model->manifest.id, ledger::Price{});
    const auto customers = random_.between(1, 3);
    for (std::uint32_t i = 0; i < customers; ++i) {
      const auto account = *(*ledger)->create_account("client-" + std::to_string(i), now);
      (void)(*ledger)->deposit(account, Credits{kOpening}, "opening-" + std::to_string(i), now);
      customers_.push_back(std::make_unique<Customer>(world_, routers_, i, account));
      accounts_.push_back(account);
    }
    const auto miners = random_.between(random_.chance(20) ? 1 : 2, 6), validators = random_.between(0, 3);
    const unsigned liars = random_.chance(40) ? 0 : 40;
    for (std::uint32_t i = 0; i < miners + validators; ++i) {
      const protocol::Role role = i < miners ? protocol::Role::miner : protocol::Role::validator;
      Machine machine;
      machine.number = i;
      machine.decode = static_cast<double>(random_.between(5, random_.chance(50) ? 20 : 300));
      machine.prefill = 10 * machine.decode;
      machine.sequences = static_cast<std::uint32_t>(random_.between(1, 4));
      machine.lies_percent = random_.chance(50) ? 100 : 30;
      if (role == protocol::Role::miner && random_.chance(liars))
        machine.habit = static_cast<Habit>(random_.between(1, kHabits - 1));
      machine.believes_all = role == protocol::Role::validator && world_.fault == Fault::lies_accepted;
      machine.doubts_all = role == protocol::Role::validator && world_.fault == Fault::truth_refused;
      const auto token = (*ledger)->create_join_token(role, now + std::chrono::hours(24), 1, now);
      nodes_.push_back(std::make_unique<Node>(world_, network_of(i), role, machine, *token));
      world_.trace.line(nodes_.back()->path.name, to_string(machine.habit), machine.decode,
                        machine.sequences);
    }
    if (world_.fault == Fault::syncs_ignored) world_.disk.ignore_syncs();
    for (Network& network : world_.networks) {
      if (world_.fault == Fault::steps_twice) network.say_steps_twice();
      if (world_.fault == Fault::last_words_lost) network.swallow_last_words();
    }
    static std::uint64_t runs = 0;
    if (world_.fault == Fault::not_repeatable) world_.trace.line("run", ++runs);
  }

  Network& network_of(std::size_t node) { return world_.networks[node % routers_.size()]; }

  void later(std::int64_t first_ms, std::int64_t last_ms, std::function<void()> what) {
    world_.timeline.at(world_.timeline.now() + random_.time(first_ms, last_ms), std::move(what));
  }

  // From now on until `end`, each kind as often as the seed wants.
  void plan_accidents(Clock::time_point end) {
    if (random_.chance(10)) return;
    const std::int64_t time = std::chrono::duration_cast<milliseconds>(end - world_.timeline.now()).count();
    const auto times = [&](std::int64_t most) { return random_.chance(50) ? 0 : random_.between(1, most); };
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      Node* one = nodes_[i].get();
      Network* network = &network_of(i);
      for (auto n = times(4); n > 0; --n) later(0, time, [network, one] { network->break_link(one->path); });
      for (auto n = times(one->habit() == Habit::honest ? 3 : 10); n > 0; --n)
        later(0, time, [this, one] {
          one->crash();
          later(50, 5'000, [one] { one->start(); });
        });
      for (auto n = times(2); n > 0; --n)
        later(0, time, [this, network, one] {
          network->part(one->path);
          later(50, 8'000, [network, one] { network->heal(one->path); });
        });
    }
    for (const auto& each : routers_) {
      RouterProcess* router = each.get();
      for (auto n = times(1); n > 0; --n) later(0, time, [router] { router->stop(); });
      for (auto n = times(2); n > 0; --n) later(0, time, [this, router] { router->die(how()); });
      for (auto n = times(2); n > 0; --n)
        later(0, time, [this, router] { set_wall(*router, random_.time(-30'000, 30'000)); });
      for (auto n = routers_.size() == 1 ? times(2) : 0; n > 0; --n)
        later(0, time,
              [this, router] { router->die_at_write(static_cast<int>(random_.between(1, 20)), how()); });
    }
    for (auto n = times(2); n > 0; --n)
      later(0, time, [this] {
        fill_disk(true);
        later(50, 5'000, [this] { fill_disk(false); });
      });
    for (auto n = times(2); n > 0; --n)
      later(0, time, [this] {
        world_.trace.line("disk", "cannot sync");
        world_.disk.set_sync_fails(true);
        later(50, 5'000, [this] { world_.disk.set_sync_fails(false); });
      });
  }
  End how() { return random_.chance(50) ? End::killed : End::power_lost; }
  void fill_disk(bool full) {
    world_.trace.line("disk", full ? "is full" : "has room");
    world_.disk.set_full(full);
  }
  void set_wall(RouterProcess& router, milliseconds wrong) {
    world_.trace.line(router.id(), "has a wall clock that is wrong by", wrong.count());
    router.set_wall(wrong);
  }

  void pass(Clock::duration time) {
    const auto end = world_.timeline.now() + time;
    while (world_.timeline.now() < end && !world_.trace.failed()) world_.timeline.advance(milliseconds(500));
  }

  // No more accidents, until what was asked for has been answered.
  void rest() {
    constexpr std::chrono::seconds kRecovery{10}, kLongest{120};
    fill_disk(false);
    world_.disk.set_sync_fails(false);
    world_.disk.end_at_write(0, End::killed, {});  // none of the deaths that were planned
    pass(kRecovery);                               // accidents that were under way end by themselves
    const auto deadline = world_.timeline.now() + kLongest;
    while (!world_.trace.failed() && world_.timeline.now() < deadline && !idle()) pass(milliseconds(500));
    pass(kRecovery);  // cancelled work is let go
    if (world_.trace.failed()) return;
    for (const auto& customer : customers_)
      for (const auto& order : customer->orders())
        if (order->end == Order::End::running) world_.trace.violation(order->task, "was lost");
    if (!idle()) return world_.trace.violation("the router has tasks that nobody waits for");
    for (const auto& router : routers_)
      for (const auto& [link, node] : router->core().nodes().nodes()) {
        bool engaged = node.busy != 0;
        for (const auto& model : node.models)
          engaged |= model.kv_reserved != 0 || model.prompt_tokens_ahead != 0;
        if (engaged) world_.trace.violation(node.id, "counts as busy, and nothing is asked of it");
      }
    for (const auto& node : nodes_)
      if (node->busy()) world_.trace.violation(node->path.name, "works for nobody");
    for (const auto& customer : customers_) customer->leave();
    for (const auto& router : routers_)
      set_wall(*router, milliseconds(300'000));  // past the end of every session
    pass(std::chrono::seconds(5));
  }

  bool idle() {
    return std::all_of(routers_.begin(), routers_.end(), [](const auto& router) {
      return router->running() && router->core().tasks() == 0 && router->core().waiting() == 0;
    });
  }

  // Whatever the ledger is asked at the end it knows.
  template <class T>
  T known(Result<T> answer) {
    if (answer) return *std::move(answer);
    world_.trace.violation("the ledger does not know:", answer.error().message);
    return {};
  }

  void check_end() {
    if (world_.trace.failed()) return;
    for (const auto& router : routers_)
      if (!router->running()) return world_.trace.violation("a router is not back");
    ledger::Ledger& ledger = routers_.front()->ledger();
    const auto report = ledger.audit();
    if (!report || !report->clean()) world_.trace.violation("the books do not balance at the end");
    const auto open = known(ledger.list_open_sessions());
    for (const ledger::Session& session : open)
      world_.trace.violation("session", session.id, "still holds", session.hold.micro);

    Credits sum;
    for (const auto& router : routers_) sum += known(ledger.balance(ledger::book_of(router->id())));
    for (const auto& node : nodes_) sum += known(ledger.balance(ledger::book_of(node->id())));
    std::set<std::pair<TaskId, std::uint32_t>> settled;
    for (const AccountId& account : accounts_) {
      sum += known(ledger.balance(account));
      const auto sessions = known(ledger.list_sessions(account, 1000, {}));
      for (const ledger::Session& session : sessions) {
        const auto tasks = known(ledger.list_tasks(session.id));
        for (const ledger::SettledTask& task : tasks)
          settled.emplace(task.settlement.task, task.settlement.choice);
      }
    }
    if (sum != Credits{kOpening * static_cast<std::int64_t>(accounts_.size())})
      world_.trace.violation("the money of all is not what was paid in:", sum.micro);
    for (const auto& customer : customers_)
      for (const auto& order : customer->orders()) check_settled(*order, settled);
    for (const auto& [task, choice] : settled)
      world_.trace.violation(task, choice, "was settled, and nobody has asked for it");

    for (const auto& node : nodes_)
      if (const auto seen = ledger.node(node->id()); seen && seen->strikes > 0)
        world_.trace.line(node->path.name, to_string(node->habit()), "has strikes:", seen->strikes,
                          seen->reason);
    for (const auto& node : nodes_)
      if (node->habit() == Habit::honest && known(ledger.quarantined(node->id())))
        world_.trace.violation(node->path.name,
                               "is honest, and in quarantine:", known(ledger.node(node->id())).reason);
  }

  // Takes the order's choices out of `settled`.
  void check_settled(const Order& order, std::set<std::pair<TaskId, std::uint32_t>>& settled) {
    std::size_t count = 0;
    for (std::uint32_t i = 0; i < order.requests.size(); ++i) count += settled.erase({order.task, i});
    if (order.end == Order::End::done && count != order.requests.size())
      world_.trace.violation(order.task, "is done, and not all of it is settled any more");
    if (order.end == Order::End::failed && count != 0 && !world_.perhaps_booked.contains(order.task))
      world_.trace.violation(order.task, "has failed, and was settled");
  }

  Outcome outcome() {
    Outcome outcome;
    for (const auto& customer : customers_)
      for (const auto& order : customer->orders()) {
        outcome.done += order->end == Order::End::done;
        outcome.failed += order->end == Order::End::failed;
        outcome.cancelled += order->end == Order::End::cancelled;
        outcome.broken += order->end == Order::End::broken;
      }
    outcome.violation = world_.trace.first_violation();
    outcome.hash = world_.trace.hash();
    return outcome;
  }

  World world_;
  Random random_{world_.seed, "simulation"};
  router::Catalogue catalogue_;
  std::vector<std::unique_ptr<RouterProcess>> routers_;  // two of them share the ledger
  std::vector<AccountId> accounts_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<std::unique_ptr<Customer>> customers_;
};

}  // namespace

std::string_view to_string(Fault fault) {
  constexpr std::array<std::string_view, kFaults> kNames{
      "none",          "settled_twice",   "settlement_lost", "settlement_unheard",
      "paid_too_much", "segment_stolen",  "invalid_paid",    "delta_twice",
      "end_unheard",   "lies_accepted",   "truth_refused",   "clock_stands",
      "syncs_ignored", "steps_twice",     "last_words_lost", "not_repeatable"};
  return kNames[static_cast<std::size_t>(fault)];
}

Outcome simulate(std::uint64_t seed, Fault fault, bool print) {
  return Simulation(seed, fault, print).run();
}

}  // namespace cortensor::simulation
