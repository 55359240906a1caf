#include "customer.h"

#include <algorithm>
#include <map>

#include "engine/transcript.h"
#include "protocol/canonical.h"
#include "protocol/receipt.h"

namespace cortensor::simulation {
namespace {

using protocol::ValidationLevel;

// Tells the client a part of its answer twice: a planted bug.
class Stutter final : public router::TaskListener {
 public:
  Stutter(std::shared_ptr<router::TaskListener> to, World& world) : to_(std::move(to)), world_(world) {}
  void on_delta(const router::Delta& delta) override {
    to_->on_delta(delta);
    if (world_.fault == Fault::delta_twice && world_.random.chance(5)) to_->on_delta(delta);
  }
  void on_embedding(std::uint32_t choice, std::span<const float> elements) override {
    to_->on_embedding(choice, elements);
  }
  std::size_t on_retract(std::uint32_t choice) override { return to_->on_retract(choice); }
  void on_finish(std::uint32_t choice, FinishReason reason) override { to_->on_finish(choice, reason); }
  void on_done(const router::TaskResult& result) override {
    if (world_.fault != Fault::end_unheard || world_.random.chance(80)) to_->on_done(result);
  }
  void on_failed(const Error& error) override { to_->on_failed(error); }

 private:
  std::shared_ptr<router::TaskListener> to_;
  World& world_;
};

}  // namespace

// ---- Reader ----

Reader::Reader(World& world, std::shared_ptr<Order> order)
    : world_(world), order_(std::move(order)), router_(*order_->router), parts_(order_->requests.size()) {}

// What a dying router still says does not arrive.
bool Reader::listening(std::string_view event) {
  if (order_->end == Order::End::broken) return false;
  if (order_->end != Order::End::running)
    world_.trace.violation(order_->task, "hears of", event, "after its end");
  return true;
}

void Reader::on_delta(const router::Delta& delta) {
  if (!listening("more")) return;
  Part& part = parts_.at(delta.choice);
  world_.trace.line(order_->task, delta.choice, "delta", delta.steps.size(), delta.text);
  if (part.finish) world_.trace.violation(order_->task, "gets more of a choice that is complete");
  part.steps.insert(part.steps.end(), delta.steps.begin(), delta.steps.end());
  part.text += delta.text;
  if (order_->streamed && !delta.text.empty()) part.seen = part.steps.size();
}

void Reader::on_embedding(std::uint32_t choice, std::span<const float> elements) {
  if (!listening("an embedding")) return;
  Part& part = parts_.at(choice);
  if (!part.embedding.empty()) world_.trace.violation(order_->task, "gets an embedding twice");
  part.embedding.assign(elements.begin(), elements.end());
}

std::size_t Reader::on_retract(std::uint32_t choice) {
  if (!listening("a retraction")) return 0;
  Part& part = parts_.at(choice);
  world_.trace.line(order_->task, choice, "retract", part.seen);
  if (!order_->streamed) part.text.clear();
  part.steps.resize(part.seen);
  return part.seen;
}

void Reader::on_finish(std::uint32_t choice, FinishReason reason) {
  if (!listening("a finish")) return;
  if (parts_.at(choice).finish) world_.trace.violation(order_->task, "is finished twice");
  parts_.at(choice).finish = reason;
}

void Reader::on_done(const router::TaskResult& result) {
  if (!listening("its completion")) return;
  world_.trace.line(order_->task, "done", result.cost.micro);
  order_->end = Order::End::done;
  if (result.task != order_->task || result.choices.size() != parts_.size())
    return world_.trace.violation(order_->task, "is told the result of another task");
  Credits sum;
  for (std::uint32_t i = 0; i < parts_.size(); ++i) {
    check(i, result.choices[i]);
    check_money(i, result.choices[i]);
    sum += result.choices[i].cost;
  }
  if (sum != result.cost) world_.trace.violation(order_->task, "costs something else than its choices");
}

void Reader::on_failed(const Error& error) {
  if (!listening("its failure")) return;
  world_.trace.line(order_->task, "failed", to_string(error.kind), error.message);
  order_->end = Order::End::failed;
}

void Reader::check(std::uint32_t choice, const router::ChoiceResult& result) {
  const auto wrong = [&](std::string_view what) {
    world_.trace.violation(order_->task, choice, ledger::to_string(result.outcome), what);
  };
  const Part& part = parts_[choice];
  const GenerationRequest& request = order_->requests[choice];
  const Transcript& truth = order_->truth[choice];
  const auto* receipt = router_.core().receipts().find(order_->session.spec.account, result.receipt);
  if (receipt == nullptr) return wrong("has no receipt");
  for (const std::string& problem : protocol::problems_of(*receipt, engine::transcript_root))
    wrong("has a receipt that is no good: " + problem);
  if (!part.finish || *part.finish != result.finish) wrong("ends in two ways");
  // Tokens: of digests it sees those of the receipt alone, and a second miner may have contradicted the
  // first.
  const auto token = [](const Step& a, const Step& b) { return a.token == b.token; };
  if (request.embedding == 0 &&
      !std::equal(part.steps.begin(), part.steps.end(), receipt->steps.begin(), receipt->steps.end(), token))
    wrong("was streamed otherwise than the receipt says");

  bool same = receipt->steps == truth.steps && result.finish == truth.finish;
  if (request.embedding > 0)
    same = same && part.embedding == toy_embedding(request);
  else if (same && part.text != truth.text)
    wrong("has the reference's tokens and another text");
  using ledger::TaskOutcome;
  const bool may_differ = result.outcome == TaskOutcome::invalid ||
                          (result.outcome != TaskOutcome::valid &&
                           world_.forged(protocol::request_digest(world_.model->manifest.weights, request)));
  if (!same && !may_differ) wrong("is not the reference's answer");
  if (same && result.outcome == TaskOutcome::invalid) wrong("is the reference's answer");
  const ValidationLevel level = order_->session.spec.validation.level;
  if (level == ValidationLevel::full && result.outcome == TaskOutcome::unchecked)
    wrong("should have been checked");
}

void Reader::check_money(std::uint32_t choice, const router::ChoiceResult& result) {
  const auto wrong = [&](std::string_view what) { world_.trace.violation(order_->task, choice, what); };
  const auto booked = router_.ledger().settled_task(order_->task, choice);
  if (!booked) return wrong("is done and was not settled");
  const ledger::Settlement& settlement = booked->settlement;
  Credits paid;
  std::map<NodeId, std::int64_t> miners;
  for (const ledger::Payment& payment : settlement.payments) {
    paid += Credits{payment.amount};
    if (payment.kind == protocol::Payment::Kind::miner &&
        !miners.emplace(payment.party, payment.amount).second)
      wrong("paid a miner twice");
  }
  if (settlement.outcome != result.outcome || settlement.session != order_->session.id)
    wrong("was settled as something else");
  if (paid != result.cost) wrong("cost another amount than was settled");
  if (result.outcome == ledger::TaskOutcome::invalid) {
    if (paid.micro != 0) wrong("was paid although it is INVALID");
    return;
  }
  const ledger::Usage usage{result.prompt_tokens, result.completion_tokens};
  const Credits base = *ledger::base_cost(ledger::Price{}, usage);
  const std::int64_t each = (base - ledger::router_fee(base)).micro;
  const auto* receipt = router_.core().receipts().find(order_->session.spec.account, result.receipt);
  if (receipt == nullptr) return;
  // Each that signed the whole earned all of it, but for what others had signed before the first of them.
  std::map<NodeId, std::int64_t> due;
  std::int64_t before = 0;
  for (const protocol::Commitment& one : receipt->commitments) {
    if (one.finish) {
      due[one.miner] += each;
      continue;
    }
    world_.trace.line(order_->task, choice, "has a segment of", one.count);
    const auto whole = static_cast<std::int64_t>(receipt->steps.size());
    const std::int64_t part = each * (one.count - before) / whole;
    before = one.count;
    due[one.miner] += part;
    due[receipt->commitments.front().miner] -= part;
  }
  std::erase_if(due, [](const auto& one) { return one.second == 0; });
  if (miners != due) wrong("did not pay each miner its part");
}

// ---- Customer ----

Customer::Customer(World& world, const std::vector<std::unique_ptr<RouterProcess>>& routers,
                   std::uint32_t number, AccountId account)
    : world_(world),
      routers_(routers),
      name_("client-" + std::to_string(number)),
      account_(std::move(account)),
      random_(world.seed, name_) {}

void Customer::live(Clock::time_point end) {
  end_ = end;
  const auto next = world_.timeline.now() + random_.time(0, random_.chance(40) ? 100 : 4'000);
  if (next >= end) return;
  world_.timeline.at(next, [this] {
    if (RouterProcess& router = any_router(); router.running()) ask(router);
    live(end_);
  });
}

RouterProcess& Customer::any_router() {
  return *routers_[routers_.size() == 1 ? 0 : random_.below(routers_.size())];
}

void Customer::router_died(const RouterProcess& router) {
  for (const auto& order : orders_)
    if (order->router == &router && order->end == Order::End::running) order->end = Order::End::broken;
}

void Customer::leave() {
  for (const ledger::Session& session : sessions_)
    if (RouterProcess& router = any_router(); random_.chance(50))
      if (const auto closed =
              router.core().sessions().close(account_, session.id, router.process().wall_now());
          !closed && closed.error().kind != ErrorKind::unavailable)
        world_.trace.violation(name_, "cannot close session", session.id, closed.error().message);
}

std::vector<GenerationRequest> Customer::make_requests() {
  GenerationRequest request;
  request.prompt = {*world_.model->tokenizer.bos()};
  for (const char c : name_ + "/" + std::to_string(orders_.size()))
    request.prompt.push_back(static_cast<TokenId>(c));
  const std::size_t length = random_.below(random_.chance(10) ? 280 : 40);  // some are too long
  while (request.prompt.size() < length)
    request.prompt.push_back('a' + static_cast<TokenId>(random_.below(26)));
  std::vector<GenerationRequest> requests(
      static_cast<std::size_t>(random_.chance(70) ? 1 : random_.between(2, 4)));
  if (random_.chance(10)) {
    for (auto& one : requests) {
      request.prompt.push_back('z');
      one = embedding_request(request.prompt, 8);
    }
    return requests;
  }
  request.max_tokens = static_cast<std::uint32_t>(random_.between(1, random_.chance(20) ? 120 : 24));
  request.stop_tokens = {*world_.model->tokenizer.eot()};
  if (random_.chance(30)) request.stop_strings = {"ab", "caf"};
  request.sampling.temperature = random_.chance(40) ? 0.0f : 1.0f;
  request.sampling.seed = random_.next();
  for (auto& one : requests) {
    one = request;
    ++request.sampling.seed;
  }
  return requests;
}

std::optional<ledger::Session> Customer::choose_session(RouterProcess& router,
                                                        std::span<const GenerationRequest> requests) {
  router::SessionBook& book = router.core().sessions();
  const WallTime now = router.process().wall_now();
  const std::string& model = world_.model->manifest.id;
  if (random_.chance(15)) {
    ledger::SessionSpec defaults;
    defaults.model = model;
    const auto need = router::worst_case(defaults, ledger::Price{}, requests);
    auto session = book.implicit(account_, name_, model, *need, now);
    return session ? std::optional(*session) : std::nullopt;
  }
  if (!sessions_.empty() && random_.chance(70)) {
    const std::size_t at = random_.below(sessions_.size());
    const SessionId chosen = sessions_[at].id;
    if (random_.chance(10)) (void)book.close(account_, chosen, now);
    auto session = book.find(account_, chosen);
    if (!session) return std::nullopt;
    if (session->state != ledger::SessionState::open) {
      sessions_.erase(sessions_.begin() + static_cast<std::ptrdiff_t>(at));
      if (random_.chance(80)) return choose_session(router, requests);
    }
    return *session;
  }
  ledger::SessionSpec spec;
  spec.account = account_;
  spec.model = model;
  spec.budget = Credits{random_.between(1, random_.chance(20) ? 500 : 50'000)};
  spec.expiry = now + random_.time(1'000, random_.chance(30) ? 10'000 : 100'000);
  switch (random_.below(6)) {
    case 0:
      spec.redundancy = static_cast<std::uint32_t>(random_.between(1, 3));
      break;
    case 1:
      spec.validation = {ValidationLevel::spot, static_cast<std::uint32_t>(random_.between(1, 1'000'000)), 0,
                         0};
      break;
    case 2:
      spec.validation = {ValidationLevel::quorum, 0, 2, static_cast<std::uint32_t>(random_.between(2, 3))};
      break;
    case 3:
      break;
    default:
      spec.validation = {ValidationLevel::full, 0, 0, 0};
      spec.redundancy = random_.chance(20) ? 2 : 1;
  }
  if (random_.chance(10))
    spec.service.min_tokens_per_second = static_cast<std::uint32_t>(random_.between(1, 60));
  if (random_.chance(10))
    spec.service.max_first_token_ms = static_cast<std::uint32_t>(random_.between(1, 3'000));
  if (random_.chance(10))
    spec.service.min_reliability_ppm = static_cast<std::uint32_t>(random_.between(1, 900'000));
  auto session = book.open(spec, now);
  if (!session) return std::nullopt;
  sessions_.push_back(*session);
  return *session;
}

void Customer::ask(RouterProcess& router) {
  auto order = std::make_shared<Order>();
  order->router = &router;
  order->requests = make_requests();
  const auto session = choose_session(router, order->requests);
  if (!session || !router.running()) return world_.trace.line(name_, "has no session");
  order->session = *session;
  order->streamed = random_.chance(50);
  router::TaskSpec spec;
  spec.account = account_;
  spec.session = *session;
  spec.model = world_.model;
  spec.requests = order->requests;
  spec.want_logprobs = random_.chance(20);
  spec.received = router.process().now();
  if (random_.chance(20)) spec.queue_class = router::QueueClass::batch;
  if (random_.chance(20)) spec.deadline = random_.time(1, 5'000);
  std::shared_ptr<router::TaskListener> reader = std::make_shared<Reader>(world_, order);
  if (world_.fault != Fault::none) reader = std::make_shared<Stutter>(std::move(reader), world_);
  const auto task = router.core().submit(std::move(spec), std::move(reader));
  if (!task) return world_.trace.line(name_, "refused", to_string(task.error().kind), task.error().message);
  order->task = *task;
  world_.trace.line(name_, "asks", *task, order->requests.size());
  for (const GenerationRequest& request : order->requests)
    order->truth.push_back(reference(request, *world_.model));
  orders_.push_back(order);
  if (!router.running()) return router_died(router);
  if (!random_.chance(20)) return;
  world_.timeline.at(world_.timeline.now() + random_.time(0, 2'000), [this, order] {
    if (order->end != Order::End::running || !order->router->running()) return;
    world_.trace.line(name_, "hangs up", order->task);
    order->end = Order::End::cancelled;
    order->router->core().cancel(order->task);
  });
}

}  // namespace cortensor::simulation
