// A router core with money, a clock and a network of fakes around it.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "engine/transcript.h"
#include "fake_network.h"
#include "memory_ledger.h"
#include "protocol/canonical.h"
#include "protocol/receipt.h"
#include "router/core/router_core.h"

namespace cortensor::router {

struct Heard final : TaskListener {
  std::vector<std::string> texts = std::vector<std::string>(8);
  std::vector<std::size_t> tokens = std::vector<std::size_t>(8);
  std::vector<std::optional<FinishReason>> finishes = std::vector<std::optional<FinishReason>>(8);
  std::map<std::uint32_t, std::vector<float>> embeddings;
  std::vector<Standing> standings;
  std::optional<TaskResult> result;
  std::optional<Error> error;
  bool streamed = true;       // the client sees every token at once, or nothing before the end
  std::size_t held_back = 0;  // of the tokens streamed, those whose text has yet to show

  void on_waiting(const Standing& standing) override { standings.push_back(standing); }
  void on_delta(const Delta& delta) override {
    texts[delta.choice] += delta.text;
    tokens[delta.choice] += delta.steps.size();
  }
  void on_embedding(std::uint32_t choice, std::span<const float> elements) override {
    EXPECT_TRUE(embeddings.emplace(choice, std::vector<float>(elements.begin(), elements.end())).second);
  }
  std::size_t on_retract(std::uint32_t choice) override {
    if (streamed) return tokens[choice] -= held_back;
    texts[choice].clear();
    return tokens[choice] = 0;
  }
  void on_finish(std::uint32_t choice, FinishReason reason) override {
    EXPECT_FALSE(finishes[choice]);
    finishes[choice] = reason;
  }
  void on_done(const TaskResult& done) override {
    EXPECT_FALSE(result || error);
    result = done;
  }
  void on_failed(const Error& why) override {
    EXPECT_FALSE(result || error);
    error = why;
  }
};

class World : public ::testing::Test {
 protected:
  static constexpr std::int64_t kMoney = 10'000'000;

  explicit World(CoreOptions options = {}) : options_(std::move(options)) {
    log::set_level(log::Level::off);
    EXPECT_TRUE(catalogue.add(make_model()));
    model = catalogue.models().front().get();
    account = *ledger->create_account("alice", executor.wall_now());
    EXPECT_TRUE(ledger->deposit(account, Credits{kMoney}, "first", executor.wall_now()));
    EXPECT_TRUE(ledger->set_price(model->manifest.id, ledger::Price{}));
    options_.arithmetic_version = kArithmetic;
    options_.random = [this] {
      ++draws;
      return next_draw;
    };
    restart();
  }
  ~World() override {
    const auto report = ledger->audit();
    EXPECT_TRUE(report && report->clean()) << report->violation;
  }

  // A new core over the same ledger, as after a crash.
  void restart() {
    core = std::make_unique<RouterCore>(options_, catalogue, router_key, executor, *ledger, settler, links);
    links.bind(*core);
    core->start();
  }

  FakeNode& add(protocol::Role role, std::uint32_t slots = 4, double speed = 100) {
    const auto token =
        ledger->create_join_token(role, executor.wall_now() + std::chrono::hours(1), 1, executor.wall_now());
    nodes.push_back(
        std::make_unique<FakeNode>(links, *core, *model, role, static_cast<std::uint8_t>(10 + nodes.size())));
    nodes.back()->attach(*token, slots, speed);
    EXPECT_EQ(nodes.back()->heard<protocol::Welcome>().size(), 1u);
    return *nodes.back();
  }
  FakeNode& add_miner(std::uint32_t slots = 4, double speed = 100) {
    return add(protocol::Role::miner, slots, speed);
  }
  // The same identity, attached as a validator as well, and faster than any.
  FakeNode& add_twin(const FakeNode& miner) {
    std::uint8_t seed = 10;
    while (nodes[seed - 10u].get() != &miner) ++seed;
    const auto token = ledger->create_join_token(
        protocol::Role::validator, executor.wall_now() + std::chrono::hours(1), 1, executor.wall_now());
    nodes.push_back(std::make_unique<FakeNode>(links, *core, *model, protocol::Role::validator, seed));
    nodes.back()->attach(*token, 4, 9000);
    EXPECT_EQ(nodes.back()->id, miner.id);
    return *nodes.back();
  }
  FakeNode& add_validator(std::uint32_t slots = 4) { return add(protocol::Role::validator, slots); }

  ledger::Session open(ledger::Validation validation = {}, std::int64_t budget = 1'000'000) {
    ledger::SessionSpec spec;
    spec.account = account;
    spec.model = model->manifest.id;
    spec.budget = Credits{budget};
    spec.validation = validation;
    spec.expiry = executor.wall_now() + std::chrono::hours(1);
    auto session = core->sessions().open(spec, executor.wall_now());
    EXPECT_TRUE(session) << session.error().message;
    return *session;
  }

  GenerationRequest request(std::uint64_t seed = 1, std::uint32_t max_tokens = 20) const {
    GenerationRequest request;
    request.prompt = {*model->tokenizer.bos(), 'h', 'i'};
    request.sampling.seed = seed;
    request.max_tokens = max_tokens;
    request.stop_tokens = {*model->tokenizer.eot()};
    return request;
  }

  struct Run {
    std::shared_ptr<Heard> heard = std::make_shared<Heard>();
    Result<TaskId> task = TaskId();
  };
  TaskSpec spec_of(const ledger::Session& session, std::vector<GenerationRequest> requests) const {
    TaskSpec spec;
    spec.account = account;
    spec.session = session;
    spec.model = model;
    spec.requests = std::move(requests);
    return spec;
  }
  Run submit(TaskSpec spec) {
    Run run;
    spec.received = executor.now();
    run.task = core->submit(std::move(spec), run.heard);
    return run;
  }
  Run submit(const ledger::Session& session, std::vector<GenerationRequest> requests) {
    return submit(spec_of(session, std::move(requests)));
  }
  Run submit(const ledger::Session& session) { return submit(session, {request()}); }

  Credits hold(const ledger::Session& session) { return *ledger->hold_balance(session.id); }
  Credits earned(const NodeId& node) { return *ledger->balance(ledger::book_of(node)); }
  bool quarantined(const FakeNode& node) { return *ledger->quarantined(node.id); }

  // The receipt exists and nothing is wrong with it.
  const protocol::Receipt& receipt(const TaskResult& result, std::size_t choice = 0) {
    const protocol::Receipt* found = core->receipts().find(account, result.choices[choice].receipt);
    EXPECT_NE(found, nullptr);
    for (const std::string& problem : protocol::problems_of(*found, engine::transcript_root))
      ADD_FAILURE() << problem;
    return *found;
  }

  CoreOptions options_;
  ManualExecutor executor;
  FakeLinks links{executor};
  bool disk_is_full = false;
  std::unique_ptr<ledger::Ledger> ledger = ledger::make_memory_ledger({}, &disk_is_full);
  ledger::DirectSettler settler{*ledger};
  Catalogue catalogue;
  const ServedModel* model = nullptr;
  crypto::PrivateKey router_key = crypto::PrivateKey::generate();
  AccountId account;
  int draws = 0;
  std::uint64_t next_draw = 0;
  std::unique_ptr<RouterCore> core;
  std::vector<std::unique_ptr<FakeNode>> nodes;
};

inline ledger::Validation full() {
  return {protocol::ValidationLevel::full, 0, 0, 0};
}
inline ledger::Validation spot(std::uint32_t ppm) {
  return {protocol::ValidationLevel::spot, ppm, 0, 0};
}
inline ledger::Validation quorum(std::uint32_t k, std::uint32_t n) {
  return {protocol::ValidationLevel::quorum, 0, k, n};
}

}  // namespace cortensor::router
