// Clients, and the checks of what they are told: every answer is the reference's, comes once, and costs what
// the books say.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "router_process.h"
#include "toy_answer.h"
#include "world.h"

namespace cortensor::simulation {

// One request, as the world knows it.
struct Order {
  enum class End : std::uint8_t {
    running,
    done,
    failed,
    cancelled,
    broken  // the router went away in the middle
  };
  TaskId task;
  RouterProcess* router = nullptr;  // that it was asked of
  ledger::Session session;
  std::vector<GenerationRequest> requests;
  std::vector<Transcript> truth;  // one per request
  bool streamed = false;
  End end = End::running;
};

// The client's side of a task.
class Reader final : public router::TaskListener {
 public:
  Reader(World& world, std::shared_ptr<Order> order);

  void on_delta(const router::Delta& delta) override;
  void on_embedding(std::uint32_t choice, std::span<const float> elements) override;
  std::size_t on_retract(std::uint32_t choice) override;
  void on_finish(std::uint32_t choice, FinishReason reason) override;
  void on_done(const router::TaskResult& result) override;
  void on_failed(const Error& error) override;

 private:
  struct Part {
    std::vector<Step> steps;
    std::string text;
    std::size_t seen = 0;  // tokens that cannot be taken back any more
    std::vector<float> embedding;
    std::optional<FinishReason> finish;
  };

  bool listening(std::string_view event);
  void check(std::uint32_t choice, const router::ChoiceResult& result);
  void check_money(std::uint32_t choice, const router::ChoiceResult& result);

  World& world_;
  const std::shared_ptr<Order> order_;
  RouterProcess& router_;
  std::vector<Part> parts_;
};

class Customer {
 public:
  Customer(World& world, const std::vector<std::unique_ptr<RouterProcess>>& routers, std::uint32_t number,
           AccountId account);

  // Asks for something, cancels it perhaps, and asks again until `end`.
  void live(Clock::time_point end);
  // Its orders there get no answer any more.
  void router_died(const RouterProcess& router);
  // Closes some of its sessions; the others expire.
  void leave();

  const std::vector<std::shared_ptr<Order>>& orders() const { return orders_; }

 private:
  void ask(RouterProcess& router);
  RouterProcess& any_router();
  std::optional<ledger::Session> choose_session(RouterProcess& router,
                                                std::span<const GenerationRequest> requests);
  std::vector<GenerationRequest> make_requests();

  World& world_;
  const std::vector<std::unique_ptr<RouterProcess>>& routers_;
  const std::string name_;
  const AccountId account_;
  Random random_;
  Clock::time_point end_;
  std::vector<ledger::Session> sessions_;
  std::vector<std::shared_ptr<Order>> orders_;
};

}  // namespace cortensor::simulation
