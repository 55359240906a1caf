// Claims: a batch's input is refused line by line; its lines run in slots that nobody else wants, again where
// an answer came to nothing, until they are done or the window is over; what is written is what was paid for.
// On a real ledger, with a network of fakes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/log.h"
#include "fake_network.h"
#include "http/asio_executor.h"
#include "ledger/open_ledger.h"
#include "ledger/settler.h"
#include "router/api/batch_runner.h"

namespace cortensor::router {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

json line(const std::string& id, json more = json::object()) {
  json body = {{"model", "tiny:q8_0"}, {"prompt", "hi"}, {"max_tokens", 20}};
  body.update(more);
  return {{"custom_id", id}, {"method", "POST"}, {"url", "/v1/completions"}, {"body", body}};
}

std::string text_of(const std::vector<json>& lines) {
  std::string text;
  for (const json& one : lines) text += one.dump() + "\n";
  return text;
}

// ---- input ----

json faults_of(const std::string& text) {
  Catalogue catalogue;
  EXPECT_TRUE(catalogue.add(make_model()));
  BatchInput input("/v1/completions", catalogue);
  input.feed({0, text});
  input.end();
  return json::parse(input.faults());
}

TEST(BatchInput, SaysOfEachLineWhatIsWrong) {
  json other_url = line("b");
  other_url["url"] = "/v1/embeddings";
  json no_id = line("c");
  no_id.erase("custom_id");
  const json faults = faults_of(
      line("a").dump() + "\n\n{\n" + other_url.dump() + "\n" + no_id.dump() + "\n" + line("a").dump() + "\n" +
      line("d", {{"model", "other"}}).dump() + "\n" + line("e", {{"top_p", 7}}).dump() + "\n" +
      line("f", {{"stream", true}}).dump() + "\n" + line("g", {{"session", "sess_x"}}).dump());
  ASSERT_EQ(faults.size(), 8u) << faults.dump(1);
  const std::vector<std::tuple<int, std::string, std::string>> expected = {
      {3, "invalid_json_line", "not valid JSON"},
      {4, "invalid_request", "url: expected /v1/completions"},
      {5, "invalid_request", "custom_id: expected"},
      {6, "duplicate_custom_id", "an earlier line"},
      {7, "mismatched_model", "expected tiny:q8_0"},
      {8, "invalid_request", "top_p: expected"},
      {9, "invalid_request", "stream: has no meaning"},
      {10, "invalid_request", "session: belongs"}};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const auto& [number, code, message] = expected[i];
    EXPECT_EQ(faults[i]["line"], number);
    EXPECT_EQ(faults[i]["code"], code);
    EXPECT_THAT(faults[i]["message"].get<std::string>(), HasSubstr(message));
  }
}

TEST(BatchInput, HasAtLeastOneLineAndNotTooMany) {
  EXPECT_EQ(faults_of("\n \n")[0]["code"], "empty_file");
  EXPECT_EQ(faults_of(line("a", {{"model", "none"}}).dump())[0]["code"], "model_not_found");
  Catalogue catalogue;
  ASSERT_TRUE(catalogue.add(make_model()));
  BatchInput input("/v1/completions", catalogue);
  std::string thousand;
  for (std::size_t i = 0; i < kMaxBatchLines; i += 1000) {
    thousand.clear();
    for (std::size_t k = 0; k < 1000; ++k) thousand += line(std::to_string(i + k)).dump() + "\n";
    ASSERT_TRUE(input.feed({static_cast<std::int64_t>(i), thousand}));
  }
  EXPECT_EQ(input.lines().size(), kMaxBatchLines);
  EXPECT_TRUE(input.good());
  EXPECT_FALSE(input.feed({99, line("one more").dump()}));
  EXPECT_EQ(json::parse(input.faults())[0]["code"], "too_many_lines");
}

TEST(BatchInput, KnowsWhereItsLinesLie) {
  Catalogue catalogue;
  ASSERT_TRUE(catalogue.add(make_model()));
  BatchInput input("/v1/completions", catalogue);
  const std::string first = "\n" + line("a").dump() + "\r\n" + line("b").dump() + "\n",
                    second = line("c").dump();
  ASSERT_TRUE(input.feed({4, first}));
  ASSERT_TRUE(input.feed({5, second}));
  ASSERT_EQ(input.lines().size(), 3u);
  for (const ledger::LinePlace& at : input.lines())
    EXPECT_EQ(json::parse((at.piece == 4 ? first : second).substr(at.start, at.bytes))["custom_id"],
              at.custom_id);
  EXPECT_EQ(input.lines()[2].line, 3u);
}

// ---- running ----

class BatchRun : public ::testing::Test {
 protected:
  BatchRun() {
    log::set_level(log::Level::off);
    std::string pattern = (std::filesystem::temp_directory_path() / "batch_test_XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    const std::string where = (folder_ / "ledger.sqlite").string();
    ledger_ = *ledger::open_ledger(where);
    desk = *ledger::open_batch_store(where);
    settler_ = std::make_unique<ledger::DirectSettler>(*ledger_);
    EXPECT_TRUE(catalogue_.add(make_model()));
    const WallTime now = executor_.wall_now();
    account = *ledger_->create_account("alice", now);
    EXPECT_TRUE(ledger_->deposit(account, Credits{10'000'000}, "first", now));
    EXPECT_TRUE(ledger_->set_price("tiny:q8_0", ledger::Price{}));
    CoreOptions options;
    options.arithmetic_version = kArithmetic;
    core_ = std::make_unique<RouterCore>(options, catalogue_, router_key_, executor_, *ledger_, *settler_,
                                         links_);
    links_.bind(*core_);
    links_.on_sent = [this](protocol::LinkId link, const protocol::RouterMessage& message) {
      for (const auto& node : nodes_) {
        if (node->link != link) continue;
        if (const auto* assign = std::get_if<protocol::Assign>(&message); assign != nullptr) {
          seeds.push_back(assign->request.sampling.seed);
          if (answering) node->run(*assign);
        }
        if (const auto* check = std::get_if<protocol::Check>(&message); check != nullptr)
          node->say(protocol::CheckResult{check->commitment.attempt, node->verdict(*check)});
      }
    };
    store_ = std::make_unique<ledger::BatchThread>(*ledger::open_batch_store(where), executor_);
    runner_ = std::make_unique<BatchRunner>(*core_, *store_);
    core_->start();
    runner_->start();
    thread_ = std::thread([this] { executor_.run(); });
  }
  ~BatchRun() override {
    executor_.stop();
    thread_.join();
    runner_.reset();
    EXPECT_EQ(ledger_->audit()->violation, "");
    store_.reset();
    std::filesystem::remove_all(folder_);
  }

  void there(std::function<void()> work) {
    std::promise<void> done;
    executor_.post([&] {
      work();
      done.set_value();
    });
    done.get_future().wait();
  }
  FakeNode& add(protocol::Role role, std::uint32_t slots = 4) {
    there([&] {
      const WallTime now = executor_.wall_now();
      nodes_.push_back(std::make_unique<FakeNode>(links_, *core_, *catalogue_.models().front(), role,
                                                  static_cast<std::uint8_t>(10 + nodes_.size())));
      nodes_.back()->attach(*ledger_->create_join_token(role, now + std::chrono::hours(1), 1, now), slots);
    });
    return *nodes_.back();
  }
  SessionId open(std::int64_t budget, protocol::ValidationLevel level = protocol::ValidationLevel::none) {
    ledger::SessionSpec spec;
    spec.account = account;
    spec.model = "tiny:q8_0";
    spec.budget = Credits{budget};
    spec.validation.level = level;
    spec.expiry = executor_.wall_now() + std::chrono::hours(1);
    SessionId id;
    there([&] { id = *ledger_->open_session(spec, executor_.wall_now()); });
    return id;
  }
  ledger::BatchId create(const std::string& input, SessionId session = {},
                         std::chrono::milliseconds window = std::chrono::hours(24)) {
    const WallTime now = executor_.wall_now();
    const ledger::FileId file("file_" + std::to_string(++files_));
    EXPECT_TRUE(desk->begin_file({file, account, "in.jsonl", "batch", 0, now}));
    EXPECT_TRUE(desk->add_piece(file, input));
    EXPECT_TRUE(desk->finish_file(file, "batch"));
    const auto batch = desk->create_batch(
        {account, "0123456789abcdef", file, "/v1/completions", std::move(session), "null", now + window},
        now);
    EXPECT_TRUE(batch);
    there([&] { runner_->look(); });
    return batch->id;
  }
  // Waits until `holds`, with what the batch is then.
  ledger::Batch until(const ledger::BatchId& id, const std::function<bool(const ledger::Batch&)>& holds) {
    const auto deadline = Clock::now() + std::chrono::seconds(60);
    for (;;) {
      const ledger::Batch batch = *desk->batch(account, id);
      if (holds(batch)) return batch;
      if (Clock::now() > deadline) {
        ADD_FAILURE() << "the batch is " << ledger::to_string(batch.state);
        return batch;
      }
      std::this_thread::yield();
    }
  }
  ledger::Batch ended(const ledger::BatchId& id) {
    return until(id, [](const ledger::Batch& batch) { return !batch.at_work(); });
  }
  std::vector<json> content(const ledger::FileId& file) {
    std::vector<json> rows;
    for (std::int64_t next = 0;;) {
      const auto piece = *desk->piece(file, next);
      if (!piece) return rows;
      rows.push_back(json::parse(piece->text));
      next = piece->number + 1;
    }
  }
  std::size_t assigned() {
    std::size_t count = 0;
    there([&] { count = seeds.size(); });
    return count;
  }

  AccountId account;
  std::unique_ptr<ledger::BatchStore> desk;  // of this thread
  std::vector<std::uint64_t> seeds;          // of what the miners got
  bool answering = true;

 private:
  std::filesystem::path folder_;
  http::AsioExecutor executor_;
  std::unique_ptr<ledger::Ledger> ledger_;
  std::unique_ptr<ledger::DirectSettler> settler_;
  Catalogue catalogue_;
  crypto::PrivateKey router_key_ = crypto::PrivateKey::generate();
  FakeLinks links_{executor_};
  std::unique_ptr<RouterCore> core_;
  std::vector<std::unique_ptr<FakeNode>> nodes_;
  std::unique_ptr<ledger::BatchThread> store_;
  std::unique_ptr<BatchRunner> runner_;
  std::thread thread_;
  int files_ = 0;
};

std::vector<json> lines(int count) {
  std::vector<json> all;
  for (int i = 0; i < count; ++i) all.push_back(line("id-" + std::to_string(i)));
  return all;
}

TEST_F(BatchRun, WaitsForAMinerAndWritesItsAnswersInOrder) {
  const ledger::BatchId id = create(text_of(lines(200)));
  until(id, [](const ledger::Batch& batch) { return batch.state == ledger::BatchState::in_progress; });
  add(protocol::Role::miner);
  const ledger::Batch batch = ended(id);
  EXPECT_EQ(batch.state, ledger::BatchState::completed);
  EXPECT_EQ(batch.completed, 200u);
  const auto rows = content(batch.output);
  ASSERT_EQ(rows.size(), 200u);
  std::set<json> drawn;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i]["custom_id"], "id-" + std::to_string(i));
    EXPECT_EQ(rows[i]["response"]["status_code"], 200);
    EXPECT_TRUE(rows[i]["error"].is_null());
    EXPECT_EQ(rows[i]["response"]["body"]["object"], "text_completion");
    EXPECT_EQ(rows[i]["response"]["request_id"], rows[i]["response"]["body"]["cortensor"]["task"]);
    drawn.insert(rows[i]["response"]["body"]["cortensor"]["seed"]);
  }
  EXPECT_EQ(drawn.size(), 200u);
}

TEST_F(BatchRun, LeavesSomeSlotsToOthers) {
  answering = false;
  add(protocol::Role::miner, 16);
  const ledger::BatchId id = create(text_of(lines(40)));
  until(id, [this](const ledger::Batch&) { return assigned() >= 14; });
  for (int i = 0; i < 3; ++i) there([] {});
  EXPECT_EQ(assigned(), 14u);
}

TEST_F(BatchRun, IsOverWithItsWindow) {
  answering = false;
  add(protocol::Role::miner);
  const SessionId session = open(1'000'000);
  const ledger::BatchId id = create(text_of(lines(10)), session, std::chrono::milliseconds(1500));
  const ledger::Batch batch = ended(id);
  EXPECT_EQ(batch.state, ledger::BatchState::expired);
  EXPECT_EQ(batch.failed, 10u);
  EXPECT_GT(assigned(), 0u);
  for (const json& row : content(batch.errors)) {
    EXPECT_TRUE(row["response"].is_null());
    EXPECT_EQ(row["error"]["code"], "batch_expired");
  }
}

TEST_F(BatchRun, FailsLinesThatTheMoneyIsShortFor) {
  add(protocol::Role::miner);
  const ledger::Batch batch = ended(create(text_of(lines(5)), open(1)));
  EXPECT_EQ(batch.state, ledger::BatchState::completed);
  EXPECT_EQ(batch.failed, 5u);
  const json row = content(batch.errors)[3];
  EXPECT_EQ(row["custom_id"], "id-3");
  EXPECT_EQ(row["response"]["status_code"], 402);
  EXPECT_EQ(row["response"]["body"]["error"]["code"], "insufficient_quota");
  EXPECT_TRUE(row["error"].is_null());
}

TEST_F(BatchRun, RefusesALineThatDoesNotFitAndGoesOn) {
  add(protocol::Role::miner);
  auto some = lines(3);
  some[1]["body"]["max_tokens"] = 100'000;
  const ledger::Batch batch = ended(create(text_of(some)));
  EXPECT_EQ(batch.completed, 2u);
  EXPECT_EQ(batch.failed, 1u);
  EXPECT_EQ(content(batch.errors)[0]["response"]["status_code"], 400);
}

TEST_F(BatchRun, AsksAnotherMinerWhenAnAnswerIsProvenWrong) {
  FakeNode& liar = add(protocol::Role::miner);
  there([&] { liar.lies_at = 3; });
  add(protocol::Role::validator);
  const SessionId session = open(1'000'000, protocol::ValidationLevel::full);
  const ledger::BatchId id = create(text_of(lines(6)), session);
  until(id, [this](const ledger::Batch&) { return assigned() > 0; });
  add(protocol::Role::miner);
  const ledger::Batch batch = ended(id);
  EXPECT_EQ(batch.completed, 6u);
  for (const json& row : content(batch.output))
    EXPECT_EQ(row["response"]["body"]["cortensor"]["verdict"], "VALID");
}

TEST_F(BatchRun, IsCancelledWithWhatRuns) {
  answering = false;
  add(protocol::Role::miner);
  const ledger::BatchId id = create(text_of(lines(10)));
  until(id, [this](const ledger::Batch&) { return assigned() > 0; });
  ASSERT_TRUE(desk->cancel_batch(account, id, WallTime()));
  const ledger::Batch batch = ended(id);
  EXPECT_EQ(batch.state, ledger::BatchState::cancelled);
  EXPECT_EQ(batch.failed, 10u);
  EXPECT_EQ(content(batch.errors)[0]["error"]["code"], "batch_cancelled");
}

}  // namespace
}  // namespace cortensor::router
