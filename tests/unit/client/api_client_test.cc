// Claims: an answer that is not what was asked for is an error of the call, whatever its JSON looks like; a
// chat without end mark or proof is not an answer; no list is followed in circles.
#include "client/api_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>
#include <thread>

#include "http/server.h"

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
    return ApiClient("http://127.0.0.1:" + std::to_string(server_->port()) + behind, "ctk_x");
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

}  // namespace
}  // namespace cortensor::client
