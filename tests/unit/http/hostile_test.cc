// Claims: whatever a client sends, or fails to send, it gets an error in our shape or a closed connection,
// and the server goes on serving others.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "test_server.h"

namespace cortensor::http {
namespace {

using std::chrono::milliseconds;
using testing::AnyOf;
using testing::HasSubstr;
using testing::StartsWith;

constexpr std::string_view kGood = "GET /good HTTP/1.1\r\nHost: h\r\n\r\n";

void answer(Request, Responder responder) {
  responder.respond(200, {}, "fine");
}

void expect_still_serving(TestServer& server) {
  const auto response = Client().request({.url = server.url("/")});
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->body, "fine");
}

TEST(Hostile, OversizeAndMalformedRequestsAreRefused) {
  TestServer server(answer);
  struct Case {
    std::string bytes;
    std::string status;
  };
  const std::string post = "POST / HTTP/1.1\r\nHost: h\r\n";
  const std::vector<Case> cases = {
      {"GET /" + std::string(20'000, 'x') + " HTTP/1.1\r\n", "431"},
      {post + "X: " + std::string(20'000, 'x') + "\r\n\r\n", "431"},
      {post + "Content-Length: 4194305\r\n\r\n", "413"},
      {post + "Content-Length: 99999999999999999999999\r\n\r\n", "400"},
      {post + "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n", "413"},
      {"nonsense\r\n\r\n", "400"},
      {std::string("\0\0\0\0", 4), "400"},
  };
  for (const Case& hostile : cases) {
    RawClient client(server.port());
    // A good request first: its answer must not be disturbed by what follows.
    ASSERT_TRUE(client.send(std::string(kGood) + hostile.bytes));
    const std::string answers = client.read_all();
    EXPECT_EQ(count(answers, "HTTP/1.1 "), 2);
    EXPECT_THAT(answers, StartsWith("HTTP/1.1 200 OK"));
    EXPECT_THAT(answers, HasSubstr("HTTP/1.1 " + hostile.status + " "));
    EXPECT_THAT(answers, HasSubstr("\r\nConnection: close\r\n"));
    EXPECT_THAT(answers, HasSubstr(R"({"error":{"message":)"));
  }
  expect_still_serving(server);
}

// The whole body is on its way when the refusal is sent: the client must be able to read it all the same.
TEST(Hostile, ARefusedUploadStillGetsItsAnswer) {
  TestServer server(answer);
  const auto response =
      Client().request({.method = "POST", .url = server.url("/"), .body = std::string(8 << 20, 'x')});
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->status, 413);
  EXPECT_THAT(response->body, HasSubstr("request_too_large"));
}

TEST(Hostile, GarbageIsSurvived) {
  TestServer server(answer);
  std::mt19937 random(7);
  for (int i = 0; i < 200; ++i) {
    std::string bytes = i % 2 == 0 ? "" : "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    const std::size_t size = random() % 3000;
    for (std::size_t b = 0; b < size; ++b) bytes += static_cast<char>(random());
    RawClient client(server.port());
    client.send(bytes);
    client.end_sending();
    const std::string said = client.read_all();
    EXPECT_THAT(said, AnyOf("", StartsWith("HTTP/1.1 4"), StartsWith("HTTP/1.1 5")));
  }
  expect_still_serving(server);
}

// Slow senders of headers and of bodies get 408; a client that never says anything is closed without a word.
TEST(Hostile, SlowClientsAreSentAway) {
  ServerOptions options;
  options.limits.header_timeout = milliseconds(200);
  options.limits.body_timeout = milliseconds(200);
  options.limits.idle_timeout = milliseconds(200);
  TestServer server(answer, options);
  RawClient header(server.port());
  RawClient body(server.port());
  RawClient silent(server.port());
  RawClient idle(server.port());
  ASSERT_TRUE(header.send("GET / HTTP/1.1\r\nHo"));
  ASSERT_TRUE(body.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf"));
  ASSERT_TRUE(idle.send(kGood));
  EXPECT_THAT(header.read_all(), StartsWith("HTTP/1.1 408 Request Timeout"));
  EXPECT_THAT(body.read_all(), StartsWith("HTTP/1.1 408 Request Timeout"));
  EXPECT_EQ(silent.read_all(), "");
  EXPECT_EQ(count(idle.read_all(), "HTTP/1.1 "), 1);
  expect_still_serving(server);
}

// The answer is larger than the sockets hold and the client reads nothing: after a while it is dropped.
TEST(Hostile, AClientThatNeverReadsItsAnswerIsDropped) {
  Event asked;
  ServerOptions options;
  options.limits.write_timeout = milliseconds(40);
  TestServer server(
      [&](Request request, Responder responder) {
        if (request.path == "/") return answer(std::move(request), std::move(responder));
        responder.respond(200, {}, std::string(64 << 20, 'x'));
        asked.set();
      },
      options);
  RawClient client(server.port(), 4096);
  ASSERT_TRUE(client.send(kGood));
  ASSERT_TRUE(asked.wait());
  std::size_t open = 1;
  while (open > 0) server.run([&] { open = server.server().connections(); });
  client.read_all();
  EXPECT_TRUE(client.was_reset());
  expect_still_serving(server);
}

TEST(Hostile, TooManyConnectionsAreRefused) {
  ServerOptions options;
  options.limits.connections = 4;
  TestServer server(answer, options);
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(std::make_unique<RawClient>(server.port()));
    ASSERT_TRUE(clients.back()->send(kGood));
    EXPECT_THAT(clients.back()->read_until("fine"), StartsWith("HTTP/1.1 200 OK"));
  }
  RawClient fifth(server.port());
  ASSERT_TRUE(fifth.send(kGood));
  const std::string refusal = fifth.read_all();
  EXPECT_THAT(refusal, StartsWith("HTTP/1.1 503 Service Unavailable"));
  EXPECT_THAT(refusal, HasSubstr("\r\nRetry-After: 1\r\n"));
  ASSERT_TRUE(clients[0]->send(kGood));
  EXPECT_THAT(clients[0]->read_until("fine"), StartsWith("HTTP/1.1 200 OK"));
}

}  // namespace
}  // namespace cortensor::http
