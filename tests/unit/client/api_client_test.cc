// Claims: an answer that is not what was asked for is an error of the call, whatever its JSON looks like; a
// chat without end mark or proof is not an answer; no list is followed in circles.
#include "client/api_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>
#include <set>
#include <thread>

#include "http/server.h"
#include "http/sse.h"

namespace cortensor::client {
namespace {

using ::testing::HasSubstr;

// A router that says the same thing, with 200, to everyone.
class ApiClientTest : public ::testing::Test {
 protected:
  ApiClientTest() {
    auto server =
        http::Server::listen(executor_, {}, [this](http::Request request, http::Responder responder) {
          const std::lock_guard lock(mutex_);
          paths_.push_back(request.path);
          responder.respond(200, {{"Content-Type", type_}}, answer_);
        });
    EXPECT_TRUE(server);
    server_ = std::move(*server);
    thread_ = std::thread([this] { executor_.run(); });
  }
  ~ApiClientTest() override {
    executor_.stop();
    thread_.join();
    server_.reset();
  }

  ApiClient says(std::string answer, std::string type = "application/json") {
    const std::lock_guard lock(mutex_);
    answer_ = std::move(answer);
    type_ = std::move(type);
    return client_of("");
  }
  ApiClient client_of(const std::string& behind) {
    return ApiClient({"http://127.0.0.1:" + std::to_string(server_->port()) + behind}, "ctk_x");
  }

  http::AsioExecutor executor_;
  std::mutex mutex_;
  std::string answer_, type_;
  std::vector<std::string> paths_;
  std::unique_ptr<http::Server> server_;
  std::thread thread_;
};

template <class T>
void expect_corrupt(const Result<T>& result, const std::string& about) {
  ASSERT_FALSE(result) << about;
  EXPECT_EQ(result.error().kind, ErrorKind::corrupt) << about;
}

TEST_F(ApiClientTest, WhatIsNotTheThingAskedForIsAnError) {
  for (const char* answer : {"[]", "5", "null", "\"x\"", "{}", "not json", "{\"data\": 5, \"id\": 5}",
                             "{\"data\": [5], \"id\": \"\", \"has_more\": false}",
                             "{\"data\": [{}], \"id\": [], \"has_more\": false}"}) {
    expect_corrupt(says(answer).sessions(), answer);
    expect_corrupt(says(answer).session("sess_1"), answer);
    expect_corrupt(says(answer).close_session("sess_1"), answer);
    expect_corrupt(says(answer).create_session({}), answer);
    expect_corrupt(says(answer).balance(), answer);
  }
  for (const char* answer : {"[]", "5", "null", "{}", "{\"data\": {}}"}) {
    expect_corrupt(says(answer).models(), answer);
    expect_corrupt(says(answer).attached_nodes(), answer);
  }
}

TEST_F(ApiClientTest, FieldsOfAnotherTypeReadAsNothing) {
  const auto row =
      says(R"({"id": "sess_1", "validation": [1], "model": 7, "redundancy": -1, "implicit": "yes",
                            "budget_microcredits": 1e300, "ended_at": "now", "spent_microcredits": 7,
                            "hold_microcredits": 18446744073709551615})")
          .session("sess_1");
  ASSERT_TRUE(row);
  EXPECT_EQ(row->spent, 7);
  EXPECT_EQ(row->budget, 0);
  EXPECT_EQ(row->hold, 0);
  EXPECT_EQ(row->redundancy, 0u);
  EXPECT_EQ(row->ended_at, std::nullopt);
  EXPECT_TRUE(says(R"({"data": [5, {"id": 5, "cortensor": 5}]})").models());
  EXPECT_TRUE(says(R"({"data": [5, {"role": 5}]})").attached_nodes());
}

TEST_F(ApiClientTest, AListIsNotFollowedInCircles) {
  expect_corrupt(says(R"({"data": [{"id": "sess_1"}], "has_more": "yes"})").sessions(), "type");
  expect_corrupt(says(R"({"data": [{"id": "sess_1"}], "has_more": true})").sessions(), "repeats");
  expect_corrupt(says(R"({"data": [], "has_more": true})").sessions(), "empty");
  const auto rows = says(R"({"data": [{"id": "sess_2"}, {"id": "sess_1"}], "has_more": false})").sessions();
  ASSERT_TRUE(rows);
  EXPECT_EQ(rows->size(), 2u);
}

TEST_F(ApiClientTest, AnAnswerEndsWithItsProofAndTheEndMark) {
  const auto chat = [this](const std::string& stream) {
    return says(stream, "text/event-stream").chat({}, [](std::string_view) {});
  };
  const std::string text = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n";
  const std::string proof = "data: {\"choices\":[],\"cortensor\":{\"verdict\":\"VALID\"}}\n\n";
  const std::string done = "data: [DONE]\n\n";
  const auto whole = chat(text + proof + done);
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->text, "hi");
  EXPECT_EQ(whole->verdict, "VALID");
  for (const std::string& stream : {std::string(), text, text + done, text + proof, done, text + done + proof,
                                    text + "data: {\"cortensor\":[]}\n\n" + done,
                                    text + "data: {\"cortensor\":{\"verdict\":5}}\n\n" + done}) {
    const auto outcome = chat(stream);
    expect_corrupt(outcome, stream);
    EXPECT_EQ(outcome.error().message, "the answer ended without its proof") << stream;
  }
  expect_corrupt(chat(text + "data: [5]\n\n" + proof + done), "not an object");
  expect_corrupt(chat(text + "data: {\n\n" + proof + done), "not JSON");
}

TEST_F(ApiClientTest, AStreamThatWaitsTellsItsPlace) {
  std::vector<QueuePlace> places;
  const auto outcome =
      says(
          ": queue place=3\n\n: queue place=x\n\n: another comment\n\n: queue place=1 eta_ms=1200\n\ndata: "
          "[DONE]\n\n",
          "text/event-stream")
          .chat(
              {}, [](std::string_view) { FAIL(); }, [&](const QueuePlace& at) { places.push_back(at); });
  EXPECT_FALSE(outcome);  // there was no answer
  ASSERT_EQ(places.size(), 2u);
  EXPECT_EQ(places[0].place, 3);
  EXPECT_FALSE(places[0].eta_ms);
  EXPECT_EQ(places[1].place, 1);
  EXPECT_EQ(places[1].eta_ms, 1200);
}

TEST_F(ApiClientTest, EveryInputHasAnEmbeddingAndAReceipt) {
  const auto embed = [this](const std::string& data, const std::string& proof) {
    EmbeddingRequest wanted;
    wanted.input = {"a", "b"};
    return says("{\"data\": " + data + ", \"cortensor\": " + proof + "}").embed(wanted);
  };
  const std::string data = R"([{"embedding": [0.1, -1]}, {"embedding": [0.5]}])";
  const std::string proof =
      R"({"verdict": "VALID", "receipts": ["rcpt_1", "rcpt_2"], "cost_microcredits": 7})";
  const auto whole = embed(data, proof);
  ASSERT_TRUE(whole) << whole.error().message;
  EXPECT_EQ(whole->embeddings, (std::vector<std::vector<float>>{{0.1f, -1.0f}, {0.5f}}));
  EXPECT_EQ(whole->receipts.size(), 2u);
  EXPECT_EQ(whole->cost, 7);
  for (const char* other : {"[]", "5", R"([{"embedding": [1]}])", R"([5, {"embedding": [1]}])",
                            R"([{"embedding": ["1"]}, {"embedding": [1]}])", R"([{}, {"embedding": [1]}])"})
    expect_corrupt(embed(other, proof), other);
  for (const char* other : {"5", "{}", R"({"verdict": "VALID", "receipts": ["rcpt_1"]})",
                            R"({"receipts": ["rcpt_1", "rcpt_2"]})"})
    expect_corrupt(embed(data, other), other);
}

TEST_F(ApiClientTest, TheUrlMayEndInASlash) {
  says(R"({"balance_microcredits": 5})");
  EXPECT_EQ(client_of("/").balance().value_or(0), 5);
  EXPECT_EQ(client_of("/base//").balance().value_or(0), 5);
  const std::lock_guard lock(mutex_);
  EXPECT_THAT(paths_, ::testing::ElementsAre("/v1/account", "/base/v1/account"));
}

// Routers that each say what they are told to, one answer after the other, and cut the connection where it
// ends without [DONE].
class ReconnectTest : public ::testing::Test {
 protected:
  struct Says {
    int status = 200;
    std::string text;
  };

  ReconnectTest() {
    for (std::size_t i = 0; i < 2; ++i) {
      auto server = http::Server::listen(
          executor_, {}, [this, i](http::Request request, auto responder) { answer(i, request, responder); });
      EXPECT_TRUE(server);
      servers_.push_back(std::move(*server));
    }
    thread_ = std::thread([this] { executor_.run(); });
  }
  ~ReconnectTest() override {
    executor_.stop();
    thread_.join();
  }

  void answer(std::size_t router, const http::Request& request, const http::Responder& responder) {
    const std::lock_guard lock(mutex_);
    heard_.push_back(std::to_string(router) + " " +
                     std::string(request.header("Last-Event-ID").value_or("-")));
    bodies_.insert(request.body);
    if (script_[router].empty()) return;  // the connection is cut by an unused responder: 500
    const Says says = script_[router].front();
    script_[router].erase(script_[router].begin());
    if (says.status != 200 || says.text.starts_with('{'))
      return responder.respond(says.status, {}, says.text);
    http::Stream stream = responder.start_stream(200, http::sse_headers());
    stream.write(says.text);
    if (says.text.ends_with("[DONE]\n\n")) stream.finish();
  }
  static std::string event(const std::string& id, const std::string& text) {
    return (id.empty() ? "" : "id: " + id + "\n") + "data: {\"choices\":[{\"delta\":{\"content\":\"" + text +
           "\"}}]}\n\n";
  }

  ApiClient client_of(std::size_t routers) const {
    std::vector<std::string> urls;
    for (std::size_t i = 0; i < routers; ++i)
      urls.push_back("http://127.0.0.1:" + std::to_string(servers_[i]->port()));
    using std::chrono::milliseconds;
    return ApiClient(urls, "ctk_x", {}, {milliseconds(1), milliseconds(2), patience_});
  }
  Result<ChatOutcome> chat(std::size_t routers = 2) {
    return client_of(routers).chat({}, [this](std::string_view text) { told_ += text; });
  }

  const std::string end_ = "data: {\"choices\":[],\"cortensor\":{\"verdict\":\"VALID\"}}\n\ndata: [DONE]\n\n";
  const std::string away_ =
      R"({"error":{"message":"shutting down","type":"server_error","code":"unavailable"}})";
  std::chrono::milliseconds patience_{60'000};
  http::AsioExecutor executor_;
  std::mutex mutex_;
  std::vector<Says> script_[2];
  std::vector<std::string> heard_;
  std::set<std::string> bodies_;
  std::string told_;
  std::vector<std::unique_ptr<http::Server>> servers_;
  std::thread thread_;
};

TEST_F(ReconnectTest, AStreamGoesOnAtTheOtherRouterBehindItsLastEvent) {
  script_[0] = {{200, event("a", "one ") + event("b", "two ")}, {200, event("e", "five") + end_}};
  script_[1] = {{200, event("c", "three ") + event("d", "four ")}};
  const auto outcome = chat();
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->text, "one two three four five");
  EXPECT_EQ(told_, outcome->text);
  EXPECT_THAT(heard_, ::testing::ElementsAre("0 -", "1 b", "0 d"));
  EXPECT_EQ(bodies_.size(), 1u);
}

TEST_F(ReconnectTest, RefusalsThatPassAreWaitedOut) {
  script_[0] = {{200, event("a", "one ")}, {503, away_}, {429, "{}"}, {200, event("b", "two") + end_}};
  const auto outcome = chat(1);
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->text, "one two");
  EXPECT_THAT(heard_, ::testing::ElementsAre("0 -", "0 a", "0 a", "0 a"));
}

TEST_F(ReconnectTest, ARouterThatShutsDownIsLeftForTheOther) {
  script_[0] = {{200, event("a", "one ") + "data: " + away_ + "\n\n"}};
  script_[1] = {{200, event("b", "two") + end_}};
  const auto outcome = chat();
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->text, "one two");
}

TEST_F(ReconnectTest, NothingIsRepeatedThatCannotHelp) {
  script_[0] = {{200, event("a", "one ")}};
  script_[1] = {{409, R"({"error":{"message":"another way"}})"}};
  EXPECT_EQ(chat().error().kind, ErrorKind::conflict);
  EXPECT_EQ(heard_.size(), 2u);

  heard_.clear();
  script_[0] = {{200, event("", "without an id")}};
  EXPECT_FALSE(chat());
  EXPECT_EQ(heard_.size(), 1u);

  heard_.clear();  // nobody takes the request: every router is asked once
  script_[0] = {{503, away_}};
  script_[1] = {{503, away_}};
  EXPECT_EQ(chat().error().kind, ErrorKind::unavailable);
  EXPECT_EQ(heard_.size(), 2u);

  heard_.clear();  // a router that says the same again and again
  script_[0] = std::vector<Says>(9, {200, "data: " + away_ + "\n\n"});
  EXPECT_EQ(chat(1).error().message, "shutting down");
  EXPECT_EQ(heard_.size(), 2u);
}

TEST_F(ReconnectTest, OtherCallsGoToTheFirstRouterThatIsThere) {
  script_[0] = {{503, away_}};
  script_[1] = {
      {200, "{}"}, {200, R"({"balance_microcredits": 5})"}, {200, R"({"balance_microcredits": 6})"}};
  ApiClient client = client_of(2);
  EXPECT_EQ(client.balance().value_or(0), 5);
  EXPECT_EQ(client.balance().value_or(0), 6);
  EXPECT_THAT(heard_, ::testing::ElementsAre("0 -", "1 -", "1 -", "1 -"));
}

TEST_F(ReconnectTest, PatienceEnds) {
  patience_ = std::chrono::milliseconds(20);
  script_[0] = {{200, event("a", "one ")}};
  script_[0].insert(script_[0].end(), 1000, {502, "{}"});
  EXPECT_FALSE(chat(1));
}

}  // namespace
}  // namespace cortensor::client
