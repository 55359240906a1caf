// Claims: a stream that broke off after any event goes on behind it at another router, with the events that
// the unbroken one has, and is paid once; an id that does not fit is refused by name; who goes on at the same
// router takes its task over; what contradicts the beginning is not delivered.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/log.h"
#include "fake_network.h"
#include "http/client.h"
#include "http/sse.h"
#include "memory_ledger.h"
#include "router/api/api.h"
#include "router/api/event_id.h"

namespace cortensor::router {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

TEST(EventId, IsReadAsItIsWritten) {
  EventId id{1, 0xffffffffffffffff, 7, {{}, {true, false, 0, 0}, {true, true, 12, 5}}};
  id.choices[1].add(3);
  const auto text = [](const EventId& one) {
    std::string out = text_of_run(one);
    for (const Progress& progress : one.choices) out += text_of(progress);
    return out;
  };
  EXPECT_EQ(*parse_event_id(text(id)), id);
  id.choices.resize(64, {true, true, 131'072, 0xfedcba9876543210});
  EXPECT_LE(text(id).size(), kMaxEventIdBytes);
  EXPECT_EQ(*parse_event_id(text(id)), id);
  const std::string run(40, 'a');
  EXPECT_TRUE(parse_event_id(run + ".1-0123456789abcdef"));
  for (const std::string& wrong :
       {std::string(), std::string("7"), run, run + ".1", run + ".-0123456789abcdef",
        run + ".01-0123456789abcdef", run + ".1-0123456789abcde", run + ".1-0123456789ABCDEF",
        run + ".1-0123456789abcdefg", run + ".1-0123456789abcdef ", run + ".99999999999-0123456789abcdef",
        std::string(40, 'g') + ".", run + std::string(5000, '.')}) {
    const auto parsed = parse_event_id(wrong);
    ASSERT_FALSE(parsed) << wrong;
    EXPECT_EQ(parsed.error().kind, ErrorKind::invalid_input);
  }
}

// One of the routers that share a ledger, with a miner of its own.
struct Router {
  Router(http::AsioExecutor& executor, ledger::Ledger& ledger, const Catalogue& catalogue, std::uint8_t seed)
      : links(executor),
        settler(ledger),
        core(options(), catalogue, key, executor, ledger, settler, links),
        api(core),
        miner(links, core, *catalogue.models().front(), protocol::Role::miner, seed) {
    links.bind(core);
    links.on_sent = [this](protocol::LinkId, const protocol::RouterMessage& message) {
      if (const auto* assign = std::get_if<protocol::Assign>(&message); assign != nullptr) work(*assign);
    };
    const WallTime now = executor.wall_now();
    miner.attach(*ledger.create_join_token(miner.role, now + std::chrono::hours(1), 1, now), 8);
    auto listening =
        http::Server::listen(executor, {}, [this](http::Request request, http::Responder responder) {
          api.handle(std::move(request), std::move(responder));
        });
    EXPECT_TRUE(listening);
    server = std::move(*listening);
    core.start();
  }
  static CoreOptions options() {
    CoreOptions options;
    options.arithmetic_version = kArithmetic;
    options.session_lease = std::chrono::seconds(10);
    return options;
  }
  void work(const protocol::Assign& assign) {
    if (steps)
      miner.send_steps(assign, 0, *steps);
    else
      miner.run(assign);
  }

  crypto::PrivateKey key = crypto::PrivateKey::generate();
  FakeLinks links;
  ledger::DirectSettler settler;
  RouterCore core;
  Api api;
  FakeNode miner;
  std::optional<std::size_t> steps;  // after which the miner falls silent
  std::unique_ptr<http::Server> server;
};

class ResumeTest : public ::testing::Test {
 protected:
  ResumeTest() {
    log::set_level(log::Level::off);
    EXPECT_TRUE(catalogue_.add(make_model()));
    const WallTime now = executor_.wall_now();
    account_ = *ledger_->create_account("alice", now);
    EXPECT_TRUE(ledger_->deposit(account_, Credits{10'000'000}, "first", now));
    EXPECT_TRUE(ledger_->set_price("tiny:q8_0", ledger::Price{}));
    key_ = ledger_->create_api_key(account_, "test", now)->secret;
    for (const std::uint8_t seed : {std::uint8_t{10}, std::uint8_t{20}})
      routers_.push_back(std::make_unique<Router>(executor_, *ledger_, catalogue_, seed));
    thread_ = std::thread([this] { executor_.run(); });
  }
  ~ResumeTest() override {
    executor_.stop();
    thread_.join();
    for (const auto& router : routers_) router->server.reset();
    EXPECT_TRUE(ledger_->audit()->clean());
  }
  template <class Work>
  auto there(Work work) {
    std::promise<decltype(work())> done;
    executor_.post([&] { done.set_value(work()); });
    return done.get_future().get();
  }
  void silent_after(std::size_t router, std::optional<std::size_t> steps) {
    there([&] { return routers_[router]->steps = steps, 0; });
  }
  std::int64_t spent() {
    return there([&] {
      Credits sum;
      const auto sessions = *ledger_->list_sessions(account_, 100, {});
      for (const ledger::Session& session : sessions) sum += session.spent;
      return sum.micro;
    });
  }

  struct Event {
    std::string id, data;
  };
  struct Stream {
    int status = 0;
    json error;
    http::Headers headers;
    std::vector<Event> events;
  };
  // The events of a stream behind `after`, or of its first `count` events, after which the client hangs up.
  Stream stream(std::size_t router, const json& body, const std::string& after = {}, std::size_t count = 1000,
                const std::string& path = "/v1/chat/completions") {
    http::ClientRequest request{"POST",
                                "http://127.0.0.1:" + std::to_string(routers_[router]->server->port()) + path,
                                {{"Authorization", "Bearer " + key_}},
                                body.dump()};
    if (!after.empty()) request.headers.push_back({"Last-Event-ID", after});
    http::Client client;
    http::SseParser parser;
    Stream out;
    const auto response = client.request_stream(request, [&](std::string_view bytes) {
      EXPECT_TRUE(parser.feed(bytes, [&](const http::SseEvent& event) {
        if (out.events.size() < count) out.events.push_back({event.id, event.data});
      }));
      return out.events.size() < count;
    });
    if (!response) return out;
    out.status = response->status;
    out.headers = response->headers;
    out.error = json::parse(response->body, nullptr, false);
    return out;
  }

  static json chat(json more = json::object()) {
    json body = {
        {"model", "tiny:q8_0"}, {"messages", {{{"role", "user"}, {"content", "hi"}}}}, {"stream", true}};
    body.update(more);
    return body;
  }
  // Without what says when and by whom it was answered.
  static json essence(const Event& event) {
    json chunk = json::parse(event.data, nullptr, false);
    if (!chunk.is_object()) return event.data;
    chunk.erase("created");
    if (!chunk.contains("cortensor")) return {event.id, chunk};
    for (const char* name : {"receipts", "miners", "session"}) chunk["cortensor"].erase(name);
    return chunk;  // it has no id
  }

  http::AsioExecutor executor_;
  std::unique_ptr<ledger::Ledger> ledger_ = ledger::make_memory_ledger();
  Catalogue catalogue_;
  AccountId account_;
  std::string key_;
  std::vector<std::unique_ptr<Router>> routers_;
  std::thread thread_;
};

// It was complete and paid for, as if the router had died in telling so.
TEST_F(ResumeTest, GoesOnBehindEveryEventAndIsPaidOnce) {
  const std::pair<const char*, json> requests[] = {
      {"/v1/chat/completions", chat()},
      {"/v1/chat/completions",
       chat({{"n", 2}, {"logprobs", true}, {"stream_options", {{"include_usage", true}}}})},
      {"/v1/completions",
       {{"model", "tiny:q8_0"}, {"prompt", {"hi", "you"}}, {"stream", true}, {"seed", 5}}}};
  for (const auto& [path, body] : requests) {
    for (std::size_t last = 0;; ++last) {
      const std::int64_t before = spent();
      const Stream whole = stream(0, body, {}, 1000, path);
      ASSERT_EQ(whole.status, 200);
      ASSERT_GE(whole.events.size(), 10u);
      const std::int64_t paid = spent();
      EXPECT_GT(paid, before);
      if (last + 2 >= whole.events.size()) break;
      const Stream rest = stream(1, body, whole.events[last].id, 1000, path);
      ASSERT_EQ(rest.events.size(), whole.events.size() - last - 1) << last;
      for (std::size_t i = 0; i < rest.events.size(); ++i)
        ASSERT_EQ(essence(rest.events[i]), essence(whole.events[last + 1 + i])) << last << " " << i;
      EXPECT_EQ(spent(), paid);
    }
  }
}

TEST_F(ResumeTest, WhatWasNotPaidForIsPaidForByTheOneThatEndsIt) {
  silent_after(0, 5);
  const Stream broken = stream(0, chat(), {}, 4);
  ASSERT_EQ(broken.events.size(), 4u);
  EXPECT_EQ(spent(), 0);
  const Stream rest = stream(1, chat(), broken.events.back().id);
  ASSERT_GE(rest.events.size(), 2u);
  const json last = json::parse(rest.events[rest.events.size() - 2].data);
  EXPECT_EQ(last["cortensor"]["cost_microcredits"], spent());
  EXPECT_GT(spent(), 0);
  const json first = json::parse(broken.events.front().data);
  EXPECT_EQ(last["id"], first["id"]);
}

TEST_F(ResumeTest, AnIdThatDoesNotFitIsRefusedByName) {
  const Stream whole = stream(0, chat({{"seed", 4}}));
  const std::string id = whole.events[3].id;
  const auto refused = [&](const json& body, const std::string& after, const std::string& why) {
    const Stream answer = stream(1, body, after);
    EXPECT_EQ(answer.status, 400) << why;
    EXPECT_EQ(answer.error["error"]["param"], "Last-Event-ID") << why;
    EXPECT_THAT(answer.error["error"]["message"].get<std::string>(), HasSubstr(why));
  };
  refused(chat({{"seed", 4}}), "7", "expected the id of an event");
  refused(chat({{"seed", 5}}), id, "another request");
  refused(chat({{"seed", 4}, {"temperature", 0.5}}), id, "another request");
  refused(chat({{"seed", 4}, {"n", 2}}), id, "another request");
  refused(chat({{"seed", 4}}), id + ".", "another request");
  refused(chat({{"seed", 4}, {"stream", false}}), id, "stream: true");
  EXPECT_EQ(stream(1, chat(), id).status, 200);  // the seed is in it
  key_ = there(
      [&] { return ledger_->open_account("bob", Credits{1'000'000}, "k", executor_.wall_now())->secret; });
  refused(chat({{"seed", 4}}), id, "another request");
}

TEST_F(ResumeTest, WhatContradictsTheBeginningIsNotDelivered) {
  const auto lies = [this](std::size_t router, std::optional<std::size_t> at) {
    there([&] { return routers_[router]->miner.lies_at = at, 0; });
  };
  lies(0, 2);
  const Stream begun = stream(0, chat({{"seed", 4}}), {}, 6);
  ASSERT_EQ(begun.events.size(), 6u);
  const Stream other = stream(1, chat({{"seed", 4}}), begun.events[5].id);
  EXPECT_EQ(other.status, 409);
  EXPECT_THAT(other.error["error"]["message"].get<std::string>(), HasSubstr("another way"));
  EXPECT_EQ(stream(1, chat({{"seed", 4}}), begun.events[2].id).status, 200);  // before the lie
}

// The first connection is still open: the router has not noticed that its client is gone.
TEST_F(ResumeTest, WhoGoesOnAtTheSameRouterTakesItsTaskOver) {
  silent_after(0, 5);
  std::promise<std::string> id;
  Stream rest;
  std::thread other([&] {
    const std::string after = id.get_future().get();
    silent_after(0, std::nullopt);
    rest = stream(0, chat(), after);
  });
  http::Client client;
  http::SseParser parser;
  std::size_t seen = 0;
  const auto cut = client.request_stream(
      {"POST",
       "http://127.0.0.1:" + std::to_string(routers_[0]->server->port()) + "/v1/chat/completions",
       {{"Authorization", "Bearer " + key_}},
       chat().dump()},
      [&](std::string_view bytes) {
        return parser
            .feed(bytes,
                  [&](const http::SseEvent& event) {
                    if (++seen == 4) id.set_value(event.id);
                  })
            .has_value();
      });
  other.join();
  EXPECT_FALSE(cut);
  EXPECT_EQ(rest.status, 200);
  EXPECT_EQ(rest.events.back().data, "[DONE]");
}

// A stream that broke off, and was settled all the same; the id of its last event.
class SettledResumeTest : public ResumeTest {
 protected:
  std::string broken_and_settled(ledger::TaskOutcome outcome, std::chrono::minutes ago) {
    silent_after(0, 5);
    const Stream broken = stream(0, chat(), {}, 4);
    there([&] {
      ledger::Settlement settlement;
      settlement.task = TaskId(json::parse(broken.events.back().data)["id"].get<std::string>().substr(9));
      settlement.session = (*ledger_->list_sessions(account_, 1, {})).front().id;
      settlement.outcome = outcome;
      return ledger_->settle_task(settlement, executor_.wall_now() - ago).has_value();
    });
    return broken.events.back().id;
  }
};

TEST_F(SettledResumeTest, WhatWasPaidForLongAgoIsNotMadeAgain) {
  const std::string id = broken_and_settled(ledger::TaskOutcome::unchecked, std::chrono::minutes(11));
  const Stream late = stream(1, chat(), id);
  EXPECT_EQ(late.status, 409);
  EXPECT_EQ(late.error["error"]["param"], "Last-Event-ID");
}

TEST_F(SettledResumeTest, WhatWasFoundWrongIsNotMadeAgain) {
  const std::string id = broken_and_settled(ledger::TaskOutcome::invalid, std::chrono::minutes(1));
  EXPECT_EQ(stream(1, chat(), id).status, 409);
}

TEST_F(SettledResumeTest, WhatIsPaidForIsMadeAgainThreeTimes) {
  const std::string id = broken_and_settled(ledger::TaskOutcome::unchecked, std::chrono::minutes(1));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(stream(1, chat(), id).status, 200);
  EXPECT_EQ(stream(1, chat(), id).status, 409);
}

TEST_F(ResumeTest, ASessionThatAnotherRouterHasIsWorthAnotherTry) {
  const auto session = there([&] {
    ledger::SessionSpec spec;
    spec.account = account_;
    spec.model = "tiny:q8_0";
    spec.budget = Credits{100'000};
    spec.expiry = executor_.wall_now() + std::chrono::hours(1);
    return routers_[0]->core.sessions().open(spec, executor_.wall_now())->id.value;
  });
  const Stream begun = stream(0, chat({{"session", session}}), {}, 3);
  ASSERT_EQ(begun.events.size(), 3u);
  const Stream refused = stream(1, chat({{"session", session}}), begun.events.back().id);
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(http::find_header(refused.headers, "Retry-After"), "1");
}

}  // namespace
}  // namespace cortensor::router
