// Claims: streamed answers arrive as written, hundreds at a time; a client that hangs up or does not read is
// noticed and costs nobody else anything; our client reads streams and can be cancelled.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <vector>

#include "http/sse.h"
#include "test_server.h"

namespace cortensor::http {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

std::string get(std::string_view path) {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: h\r\n\r\n";
}

TEST(Stream, ArrivesInChunksAndTheConnectionStays) {
  TestServer server([](Request, Responder responder) {
    Stream stream = responder.start_stream(200, sse_headers());
    EXPECT_TRUE(stream.write("one"));
    EXPECT_TRUE(stream.write(""));
    EXPECT_TRUE(stream.write(std::string(16, 'x')));
    stream.finish();
    EXPECT_FALSE(stream.write("late"));
  });
  RawClient client(server.port());
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(client.send(get("/")));
    const std::string answer = client.read_until("0\r\n\r\n");
    EXPECT_THAT(answer, HasSubstr("Transfer-Encoding: chunked\r\n"));
    EXPECT_THAT(answer, EndsWith("\r\n\r\n3\r\none\r\n10\r\nxxxxxxxxxxxxxxxx\r\n0\r\n\r\n"));
  }
  RawClient old(server.port());
  ASSERT_TRUE(old.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
  EXPECT_THAT(old.read_all(), EndsWith("\r\n\r\nonexxxxxxxxxxxxxxxx"));
  RawClient head(server.port());
  ASSERT_TRUE(head.send("HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
  EXPECT_THAT(head.read_all(), EndsWith("\r\n\r\n"));
}

// A stream that its owner dropped ends without the last chunk, so that nobody takes it for whole.
TEST(Stream, IsCutWhenDropped) {
  TestServer server([](Request, Responder responder) { responder.start_stream(200, {}).write("half"); });
  RawClient client(server.port());
  ASSERT_TRUE(client.send(get("/")));
  EXPECT_THAT(client.read_all(), EndsWith("4\r\nhalf\r\n"));
  std::string seen;
  const auto answer = Client().request_stream({.url = server.url("/")}, [&](std::string_view part) {
    seen += part;
    return true;
  });
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, ErrorKind::unavailable);
  EXPECT_EQ(seen, "half");
}

TEST(Stream, TellsOfAHangUp) {
  Event asked;
  Event gone;
  std::optional<Stream> stream;
  TestServer server([&](Request, Responder responder) {
    stream = responder.start_stream(200, {});
    stream->on_close([&] { gone.set(); });
    asked.set();
  });
  RawClient client(server.port());
  ASSERT_TRUE(client.send(get("/")));
  ASSERT_TRUE(asked.wait());
  client.close();
  EXPECT_TRUE(gone.wait());
  Event told_late;
  server.run([&] {
    EXPECT_FALSE(stream->open());
    EXPECT_FALSE(stream->write("x"));
    stream->on_close([&] { told_late.set(); });
    EXPECT_EQ(server.server().connections(), 0u);
  });
  EXPECT_TRUE(told_late.wait());
}

// The same while the answer has not begun; and a callback set before start_stream() serves the stream.
TEST(Responder, TellsOfAHangUp) {
  Event asked;
  Event gone;
  std::optional<Responder> kept;
  std::optional<Stream> stream;
  TestServer server([&](Request request, Responder responder) {
    responder.on_close([&] { gone.set(); });
    if (request.path == "/stream") stream = responder.start_stream(200, {});
    kept = std::move(responder);
    asked.set();
  });
  for (const char* path : {"/wait", "/stream"}) {
    RawClient client(server.port());
    ASSERT_TRUE(client.send(get(path)));
    ASSERT_TRUE(asked.wait());
    client.close();
    EXPECT_TRUE(gone.wait());
  }
  server.run([&] { kept->respond(200, {}, "too late"); });
}

// The reader stops reading: its stream is closed once the buffer is full, and another client never notices.
TEST(Stream, DropsASlowReader) {
  std::optional<Stream> slow;
  Event asked;
  Event dropped;
  ServerOptions options;
  options.limits.stream_buffer_bytes = 64 * 1024;
  TestServer server(
      [&](Request request, Responder responder) {
        if (request.path != "/slow") return responder.respond(200, {}, "fine");
        slow = responder.start_stream(200, {});
        slow->on_close([&] { dropped.set(); });
        asked.set();
      },
      options);
  RawClient client(server.port(), 4096);
  ASSERT_TRUE(client.send(get("/slow")));
  ASSERT_TRUE(asked.wait());
  const std::string chunk(16 * 1024, 'x');
  bool taken = true;
  int chunks = 0;
  while (taken) {
    server.run([&] { taken = slow->write(chunk); });
    ASSERT_LT(++chunks, 10'000);
  }
  EXPECT_TRUE(dropped.wait());
  EXPECT_EQ(Client().request({.url = server.url("/")})->body, "fine");
  client.read_all();
  EXPECT_TRUE(client.was_reset());
}

// 300 streams at once, 20 events each, written in turns: each client gets its own events, all and in order.
TEST(Stream, ServesHundredsAtOnce) {
  constexpr int kClients = 300;
  constexpr int kEvents = 20;
  std::map<std::string, Stream> streams;
  Event all_there;
  TestServer server([&](Request request, Responder responder) {
    streams.emplace(request.path, responder.start_stream(200, sse_headers()));
    if (streams.size() == kClients) all_there.set();
  });
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<RawClient>(server.port()));
    ASSERT_TRUE(clients.back()->send(get("/" + std::to_string(i))));
  }
  ASSERT_TRUE(all_there.wait());
  for (int event = 0; event < kEvents; ++event) {
    server.run([&] {
      for (auto& [path, stream] : streams)
        EXPECT_TRUE(stream.write(sse_data(path + "#" + std::to_string(event))));
    });
  }
  server.run([&] {
    for (auto& [path, stream] : streams) stream.finish();
  });
  for (int i = 0; i < kClients; ++i) {
    const std::string answer = clients[static_cast<std::size_t>(i)]->read_until("0\r\n\r\n");
    EXPECT_EQ(count(answer, "data: /" + std::to_string(i) + "#"), kEvents);
    EXPECT_EQ(count(answer, "data: "), kEvents);
  }
  server.run([&] { streams.clear(); });
}

TEST(Client, StreamsTheBodyOfASuccessOnly) {
  TestServer server([](Request request, Responder responder) {
    Stream stream = responder.start_stream(request.path == "/good" ? 200 : 429, sse_headers());
    stream.write(sse_data("a"));
    stream.write(sse_data("b"));
    stream.finish();
  });
  Client client;
  std::string seen;
  SseParser events;
  const auto take = [&](std::string_view part) {
    return events.feed(part, [&](const SseEvent& event) { seen += event.data + ";"; }).has_value();
  };
  const auto good = client.request_stream({.url = server.url("/good")}, take);
  ASSERT_TRUE(good) << good.error().message;
  EXPECT_EQ(seen, "a;b;");
  EXPECT_EQ(good->body, "");
  const auto bad = client.request_stream({.url = server.url("/bad")}, take);
  ASSERT_TRUE(bad);
  EXPECT_EQ(bad->status, 429);
  EXPECT_EQ(bad->body, "data: a\n\ndata: b\n\n");
  EXPECT_EQ(seen, "a;b;");
}

// cancel() from another thread ends a request that would wait for long, and the server hears of it.
TEST(Client, CanBeCancelled) {
  Event asked;
  Event gone;
  std::optional<Responder> kept;
  TestServer server([&](Request, Responder responder) {
    responder.on_close([&] { gone.set(); });
    kept = std::move(responder);
    asked.set();
  });
  Client client;
  std::thread other([&] {
    EXPECT_TRUE(asked.wait());
    client.cancel();
  });
  const auto answer = client.request({.url = server.url("/")});
  other.join();
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, ErrorKind::cancelled);
  EXPECT_TRUE(gone.wait());
  EXPECT_EQ(client.request({.url = server.url("/")}).error().kind, ErrorKind::cancelled);
}

TEST(Client, StopsWhenTheCallbackSaysSo) {
  std::optional<Stream> stream;
  Event gone;
  TestServer server([&](Request, Responder responder) {
    stream = responder.start_stream(200, {});
    stream->on_close([&] { gone.set(); });
    stream->write("first");
  });
  const auto answer =
      Client().request_stream({.url = server.url("/")}, [](std::string_view) { return false; });
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, ErrorKind::cancelled);
  EXPECT_TRUE(gone.wait());
}

TEST(Client, SaysWhatFailed) {
  std::optional<Responder> kept;
  TestServer server([&](Request request, Responder responder) {
    if (request.path == "/long") return responder.respond(200, {}, std::string(2000, 'x'));
    kept = std::move(responder);
  });
  EXPECT_EQ(Client().request({.url = "gopher://x"}).error().kind, ErrorKind::invalid_input);
  EXPECT_EQ(Client().request({.url = server.url("/"), .headers = {{"A", "b\r\nC: d"}}}).error().kind,
            ErrorKind::invalid_input);
  ClientOptions hasty;
  hasty.idle_timeout = std::chrono::milliseconds(20);
  EXPECT_EQ(Client(hasty).request({.url = server.url("/")}).error().kind, ErrorKind::timed_out);
  ClientOptions small;
  small.max_body_bytes = 1000;
  EXPECT_EQ(Client(small).request({.url = server.url("/long")}).error().kind, ErrorKind::corrupt);
  // A port that was just free: nobody listens there.
  std::string nobody;
  {
    TestServer gone([](Request, Responder) {});
    nobody = gone.url("/");
  }
  const auto refused = Client().request({.url = nobody});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::unavailable);
  EXPECT_THAT(refused.error().message, HasSubstr("Connection refused"));
}

}  // namespace
}  // namespace cortensor::http
