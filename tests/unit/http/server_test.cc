// Claims: requests reach their handlers and answers their clients, over kept-alive and pipelined connections,
// and shutdown lets what is under way end. Real sockets on the loopback.
#include "http/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <vector>

#include "test_server.h"

namespace cortensor::http {
namespace {

using std::chrono::milliseconds;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::string get(std::string_view path) {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: h\r\n\r\n";
}

// Answers with what it was asked.
void echo(Request request, Responder responder) {
  responder.respond(200, {{"Content-Type", "text/plain"}},
                    request.method + " " + request.path + "?" + request.query + " " + request.body);
}

TEST(Server, AnswersAndKeepsTheConnection) {
  TestServer server(echo);
  RawClient client(server.port());
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(client.send("POST /a?b=" + std::to_string(i) +
                            " HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"));
    const std::string answer = client.read_until("hi");
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\nDate: "));
    EXPECT_THAT(answer, HasSubstr("\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\n"));
    EXPECT_THAT(answer, EndsWith("\r\n\r\nPOST /a?b=" + std::to_string(i) + " hi"));
  }
}

TEST(Server, ClosesWhenAskedTo) {
  TestServer server(echo);
  RawClient client(server.port());
  ASSERT_TRUE(client.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
  EXPECT_THAT(client.read_all(), HasSubstr("\r\nConnection: close\r\n"));
  RawClient old(server.port());
  ASSERT_TRUE(old.send("GET / HTTP/1.0\r\n\r\n"));
  EXPECT_THAT(old.read_all(), EndsWith("GET /? "));
  RawClient kept(server.port());
  ASSERT_TRUE(kept.send("GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
  EXPECT_THAT(kept.read_until("GET /1? "), HasSubstr("\r\nConnection: keep-alive\r\n"));
  ASSERT_TRUE(kept.send("GET /2 HTTP/1.0\r\n\r\n"));
  EXPECT_THAT(kept.read_all(), EndsWith("GET /2? "));
}

// A hundred requests in one packet, answered late and in their own time: the answers come in the order asked.
TEST(Server, AnswersPipelinedRequestsInOrder) {
  TestServer* at = nullptr;
  TestServer server([&](Request request, Responder responder) {
    at->executor().post(
        [request = std::move(request), responder] { responder.respond(200, {}, "<" + request.path + ">"); });
  });
  at = &server;
  std::string all;
  for (int i = 0; i < 100; ++i) all += get("/" + std::to_string(i));
  RawClient client(server.port());
  ASSERT_TRUE(client.send(all));
  const std::string answers = client.read_until("</99>");
  std::size_t place = 0;
  for (int i = 0; i < 100; ++i) {
    const std::size_t found = answers.find("</" + std::to_string(i) + ">", place);
    ASSERT_NE(found, answers.npos) << i;
    place = found;
  }
  EXPECT_EQ(count(answers, "HTTP/1.1 200 OK"), 100);
}

// A client that ended its side after asking still gets the answers that are ready.
TEST(Server, AnswersAHalfClosedClient) {
  TestServer server(echo);
  RawClient client(server.port());
  ASSERT_TRUE(client.send(get("/1") + get("/2")));
  client.end_sending();
  const std::string answers = client.read_all();
  EXPECT_THAT(answers, HasSubstr("GET /1? "));
  EXPECT_THAT(answers, EndsWith("GET /2? "));
}

TEST(Server, TakesPacketsOfOneByte) {
  TestServer server(echo);
  RawClient client(server.port());
  const std::string text =
      "POST /slow HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
  for (const char byte : text) ASSERT_TRUE(client.send({&byte, 1}));
  EXPECT_THAT(client.read_until("abcde"), EndsWith("POST /slow? abcde"));
}

TEST(Server, InvitesTheBodyThatWaitsForIt) {
  TestServer server(echo);
  RawClient client(server.port());
  ASSERT_TRUE(client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"));
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  ASSERT_TRUE(client.send("body"));
  EXPECT_THAT(client.read_until("body"), StartsWith("HTTP/1.1 200 OK"));
}

TEST(Server, SendsNoBodyForHead) {
  TestServer server(echo);
  RawClient client(server.port());
  ASSERT_TRUE(client.send("HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n" + get("/end")));
  const std::string answers = client.read_until("/end? ");
  EXPECT_EQ(count(answers, "Content-Length:"), 2);
  EXPECT_THAT(answers, Not(HasSubstr("HEAD /x")));
}

TEST(Server, NeverLetsAHeaderBreakOut) {
  TestServer server([](Request, Responder responder) {
    responder.respond(200, {{"X-Evil", "a\r\nX-Injected: b"}, {"X-Good", "c"}}, "end");
  });
  RawClient client(server.port());
  ASSERT_TRUE(client.send(get("/")));
  const std::string answer = client.read_until("end");
  EXPECT_THAT(answer, Not(HasSubstr("Injected")));
  EXPECT_THAT(answer, HasSubstr("X-Good: c\r\n"));
}

// A handler that throws, one that forgets to answer, and one that answers twice: the client gets one answer.
TEST(Server, SurvivesItsHandlers) {
  TestServer server([](Request request, Responder responder) {
    if (request.path == "/throw") throw std::runtime_error("secret detail");
    if (request.path == "/twice") {
      responder.respond(200, {}, "first");
      responder.respond(200, {}, "second");
      Stream stream = responder.start_stream(200, {});
      EXPECT_FALSE(stream.write("third"));
    }
  });
  Client client;
  for (const char* path : {"/throw", "/forget"}) {
    const auto answer = client.request({.url = server.url(path)});
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(answer->status, 500);
    EXPECT_THAT(answer->body, StartsWith(R"({"error":{"message":)"));
    EXPECT_THAT(answer->body, Not(HasSubstr("secret")));
  }
  const auto answer = client.request({.url = server.url("/twice")});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->body, "first");
}

TEST(RouteTable, FindsTheHandler) {
  RouteTable routes;
  const auto named = [](std::string name) {
    return [name](Request request, Responder responder) {
      responder.respond(200, {}, name + ":" + std::string(request.path_variable("id")));
    };
  };
  routes.add("GET", "/v1/receipts/{id}", named("receipt"));
  routes.add("GET", "/v1/receipts/latest", named("latest"));
  routes.add("DELETE", "/v1/receipts/{id}", named("delete"));
  routes.add("GET", "/", named("root"));
  TestServer server(routes);
  Client client;
  const auto ask = [&](std::string method, std::string_view path) {
    auto answer = client.request({.method = std::move(method), .url = server.url(path)});
    EXPECT_TRUE(answer);
    return answer ? std::move(*answer) : ClientResponse{};
  };
  EXPECT_EQ(ask("GET", "/v1/receipts/task_7").body, "receipt:task_7");
  EXPECT_EQ(ask("GET", "/v1/receipts/a%2fb").body, "receipt:a/b");
  EXPECT_EQ(ask("GET", "/v1/receipts/latest").body, "latest:");
  EXPECT_EQ(ask("DELETE", "/v1/receipts/latest").body, "delete:latest");
  EXPECT_EQ(ask("GET", "/").body, "root:");
  EXPECT_EQ(ask("HEAD", "/v1/receipts/x").status, 200);
  EXPECT_EQ(ask("GET", "/v1/receipts/").status, 404);
  EXPECT_EQ(ask("GET", "/v1/receipts").status, 404);
  EXPECT_EQ(ask("GET", "/v1/receipts/%z").status, 404);
  const ClientResponse refused = ask("POST", "/v1/receipts/latest");
  EXPECT_EQ(refused.status, 405);
  EXPECT_EQ(refused.header("Allow"), "GET, DELETE");
}

// Idle connections are closed at once, an answer under way is completed, new clients are not accepted.
TEST(Server, ShutsDownAfterTheAnswersUnderWay) {
  Event asked;
  std::optional<Stream> stream;
  TestServer server([&](Request, Responder responder) {
    stream = responder.start_stream(200, {});
    stream->write("begun");
    asked.set();
  });
  RawClient idle(server.port());
  RawClient busy(server.port());
  ASSERT_TRUE(busy.send(get("/")));
  ASSERT_TRUE(asked.wait());
  Event done;
  server.run([&] { server.server().shutdown(std::chrono::minutes(1), [&] { done.set(); }); });
  EXPECT_EQ(idle.read_all(), "");
  server.run([&] {
    EXPECT_EQ(server.server().connections(), 1u);
    stream->write("ended");
    stream->finish();
  });
  EXPECT_THAT(busy.read_all(), EndsWith("5\r\nbegun\r\n5\r\nended\r\n0\r\n\r\n"));
  busy.close();
  EXPECT_TRUE(done.wait());
  const auto late = Client().request({.url = server.url("/")});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().kind, ErrorKind::unavailable);
  stream.reset();
}

TEST(Server, CutsWhatOutlivesTheGrace) {
  Event asked;
  Event cut;
  std::optional<Stream> stream;
  TestServer server([&](Request, Responder responder) {
    stream = responder.start_stream(200, {});
    stream->on_close([&] { cut.set(); });
    asked.set();
  });
  RawClient client(server.port());
  ASSERT_TRUE(client.send(get("/")));
  ASSERT_TRUE(asked.wait());
  Event done;
  server.run([&] { server.server().shutdown(milliseconds(10), [&] { done.set(); }); });
  EXPECT_TRUE(cut.wait());
  EXPECT_TRUE(done.wait());
  EXPECT_THAT(client.read_all(), Not(HasSubstr("0\r\n\r\n")));
}

TEST(Server, SaysWhyItCannotListen) {
  AsioExecutor executor;
  EXPECT_EQ(Server::listen(executor, {.address = "nowhere"}, echo).error().kind, ErrorKind::invalid_input);
  auto first = Server::listen(executor, {}, echo);
  ASSERT_TRUE(first);
  const auto second = Server::listen(executor, {.port = (*first)->port()}, echo);
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, HasSubstr("Address already in use"));
}

}  // namespace
}  // namespace cortensor::http
