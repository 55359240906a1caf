#include "router_process.h"

#include <utility>

#include "arith/version.h"
#include "ledger/open_ledger.h"

namespace cortensor::simulation {
namespace {

constexpr std::chrono::milliseconds kPatience{3'000}, kPause{250};  // with a disk that is full

crypto::PrivateKey router_key(std::uint64_t seed, std::size_t number) {
  Bytes32 bytes{};
  bytes.fill(static_cast<std::uint8_t>(seed));
  bytes[0] = static_cast<std::uint8_t>(0x5a + number);
  return crypto::PrivateKey::from_seed(bytes);
}

router::CoreOptions options_of(World& world, Random& random, bool shares) {
  router::CoreOptions options;
  options.arithmetic_version = arith::kArithmeticVersion;
  options.max_queued = 8;
  options.max_queued_batch = 16;
  options.queue_timeout = milliseconds(6'000);
  options.batch_queue_timeout = milliseconds(20'000);
  options.first_step_timeout = milliseconds(3'000);
  options.stall_timeout = milliseconds(1'500);
  options.check_timeout = milliseconds(4'000);
  options.hedge_least = milliseconds(400);
  options.segment_tokens = 4;
  options.heartbeat = milliseconds(1'000);
  options.implicit_budget = Credits{20'000};
  options.implicit_lifetime = std::chrono::seconds(10);
  if (shares) options.session_lease = milliseconds(3'000);
  options.random = [&random] { return random.next(); };
  options.make_name = [&world](std::string_view prefix, int) { return world.name(prefix); };
  return options;
}

}  // namespace

// Books as ledger::SettlementThread does, in simulated time: what has gathered at once, and again while the
// disk is full.
class SimSettler final : public ledger::Settler {
 public:
  SimSettler(World& world, Process& process, ledger::Ledger& ledger, Random& random, const bool& dying,
             bool shares)
      : world_(world), process_(process), ledger_(ledger), random_(random), dying_(dying), shares_(shares) {}

  void settle(std::vector<ledger::Settlement> settlements, WallTime now,
              std::function<void(const Status&)> done) override {
    waiting_.push_back({std::move(settlements), now, std::move(done)});
    if (!busy_) begin();
  }

  // Books what was handed over; nobody waits for the answers.
  void finish() {
    for (auto* orders : {&booking_, &waiting_})
      for (const Order& order : std::exchange(*orders, {})) spoil_and_book(order.settlements, order.now);
  }

 private:
  struct Order {
    std::vector<ledger::Settlement> settlements;
    WallTime now;
    std::function<void(const Status&)> done;
  };

  void begin() {
    busy_ = !waiting_.empty();
    if (!busy_) return;
    process_.after(random_.time(1, 30), [this] {
      booking_ = std::exchange(waiting_, {});
      book(process_.now() + kPatience);
    });
  }

  void book(Clock::time_point deadline) {
    std::vector<ledger::Settlement> all;
    for (const Order& order : booking_)
      all.insert(all.end(), order.settlements.begin(), order.settlements.end());
    std::vector<Status> statuses = spoil_and_book(all, booking_.back().now);
    if (dying_) return;
    if (world_.disk.sync_fails())
      for (const ledger::Settlement& one : all) world_.perhaps_booked.insert(one.task);
    const bool unavailable =
        !all.empty() && !statuses.front() && statuses.front().error().kind == ErrorKind::unavailable;
    if (unavailable && process_.now() < deadline)
      return process_.after(kPause, [this, deadline] { book(deadline); });
    audit(all, statuses);
    std::size_t at = 0;
    for (Order& order : std::exchange(booking_, {})) {
      Status first = ok();
      for (std::size_t i = 0; i < order.settlements.size(); ++i, ++at)
        if (!statuses[at] && first) first = statuses[at];
      if (world_.fault == Fault::settlement_unheard && random_.chance(20)) continue;
      process_.post([done = std::move(order.done), first] { done(first); });
    }
    begin();
  }

  std::vector<Status> spoil_and_book(std::vector<ledger::Settlement> all, WallTime now) {
    const std::size_t count = all.size();
    switch (world_.fault) {
      case Fault::settled_twice: {
        ledger::Settlement again = all.front();
        again.task = TaskId(again.task.value + "x");
        all.push_back(std::move(again));
        break;
      }
      case Fault::settlement_lost:
        if (random_.chance(20)) return std::vector<Status>(count, ok());
        break;
      case Fault::paid_too_much:
        if (!all.front().payments.empty()) ++all.front().payments.front().amount;
        break;
      case Fault::segment_stolen:
        for (ledger::Settlement& one : all)
          if (one.payments.size() > 2 && one.payments[1].kind == protocol::Payment::Kind::miner)
            one.payments[0].amount += std::exchange(one.payments[1].amount, 0);
        break;
      case Fault::invalid_paid:
        for (ledger::Settlement& one : all)
          if (one.outcome == ledger::TaskOutcome::invalid) {
            one.outcome = ledger::TaskOutcome::unchecked;
            one.payments = {{protocol::Payment::Kind::miner, *world_.liars.begin(), 1}};
          }
        break;
      default:
        break;
    }
    std::vector<Status> statuses = ledger_.settle_tasks(all, now);
    statuses.resize(count, ok());
    return statuses;
  }

  void audit(const std::vector<ledger::Settlement>& all, const std::vector<Status>& statuses) {
    for (std::size_t i = 0; i < all.size(); ++i)
      world_.trace.line("settled", all[i].task, all[i].choice, ledger::to_string(all[i].outcome),
                        statuses[i] ? "ok" : to_string(statuses[i].error().kind));
    for (const Status& status : statuses)
      if (!status && status.error().kind != ErrorKind::unavailable &&
          !(shares_ &&
            status.error().kind == ErrorKind::conflict))  // the other has taken or ended the session
        world_.trace.violation("the ledger refuses a settlement:", status.error().message);
    const auto report = ledger_.audit();
    if (report && !report->clean()) world_.trace.violation("the books do not balance:", report->violation);
  }

  World& world_;
  Process& process_;
  ledger::Ledger& ledger_;
  Random& random_;
  const bool& dying_;
  const bool shares_;
  std::vector<Order> waiting_, booking_;
  bool busy_ = false;
};

Result<std::unique_ptr<ledger::Ledger>> open_ledger(World& world) {
  ledger::LedgerOptions options;
  options.patience = std::chrono::milliseconds(0);  // whoever would be waited for does not run meanwhile
  options.sqlite_vfs = kDisk;
  options.token = [&world](std::string_view prefix, int) { return world.name(prefix); };
  return ledger::open_ledger(kFile, std::move(options));
}

RouterProcess::RouterProcess(World& world, const router::Catalogue& catalogue, std::size_t number,
                             bool shares)
    : world_(world),
      network_(world.networks[number]),
      catalogue_(catalogue),
      name_(number == 0 ? "router" : "router 2"),
      shares_(shares),
      random_(world.seed, name_),
      key_(router_key(world.seed, number)),
      id_(key_.node_id()) {
  clocks_.drift_ppm = random_.between(-2'000, 2'000);
  clocks_.wall_stands = world.fault == Fault::clock_stands;
}

RouterProcess::~RouterProcess() = default;

void RouterProcess::start() {
  if (core_) return;
  auto ledger = open_ledger(world_);
  auto settling = open_ledger(world_);
  if (!ledger || !settling) {
    const Error& why = ledger ? settling.error() : ledger.error();
    world_.trace.line(name_, "cannot start:", why.message);
    if (why.kind != ErrorKind::unavailable) world_.trace.violation("the ledger is damaged:", why.message);
    return world_.timeline.at(world_.timeline.now() + milliseconds(300), [this] { start(); });
  }
  world_.trace.line(name_, "starts");
  clocks_.epoch = std::chrono::seconds(random_.between(0, 100'000));
  process_ = std::make_unique<Process>(world_.timeline, clocks_);
  ledger_ = std::move(*ledger);
  settling_ = std::move(*settling);
  settler_ = std::make_unique<SimSettler>(world_, *process_, *settling_, random_, dying_, shares_);
  core_ = std::make_unique<router::RouterCore>(options_of(world_, random_, shares_), catalogue_, key_,
                                               *process_, *ledger_, *settler_, network_);
  network_.listen(*core_);
  core_->start();
}

void RouterProcess::set_wall(std::chrono::milliseconds wrong) {
  clocks_.wrong = wrong;
  if (process_) process_->set_wall(wrong);
}

void RouterProcess::stop() {
  if (!running()) return;
  world_.trace.line(name_, "stops");
  core_->drain();
  process_->after(random_.time(0, 2'000), [this] {
    if (!running()) return;
    core_->abandon_all(fail(ErrorKind::unavailable, "the router is shutting down; nothing was charged"));
    settler_->finish();
    die(End::killed);
  });
}

void RouterProcess::die(End how) {
  if (!running()) return;
  if (!shares_) world_.disk.end(how);
  dead();
}

void RouterProcess::die_at_write(int n, End how) {
  if (running()) world_.disk.end_at_write(n, how, [this] { dead(); });
}

// It may still be on the stack: it goes once that is empty.
void RouterProcess::dead() {
  world_.trace.line(name_, "dies");
  dying_ = true;
  network_.router_dies();
  if (on_death) on_death();
  world_.timeline.post([this] {
    core_.reset();
    settler_.reset();
    settling_.reset();
    ledger_.reset();
    process_.reset();
    dying_ = false;
  });
  world_.timeline.at(world_.timeline.now() + random_.time(50, 3'000), [this] { start(); });
}

}  // namespace cortensor::simulation
