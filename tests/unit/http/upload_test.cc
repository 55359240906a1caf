// Claims: a body that has a sink goes there piece by piece, under the sink's own limit and no faster than it
// takes it, and the connection serves on; a stream that waits until its bytes have left is as long as one
// likes, however slowly it is read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "test_server.h"

namespace cortensor::http {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

constexpr std::size_t kLimit = 8 * 1024 * 1024;

struct Counter final : BodySink {
  std::uint64_t limit() const override { return kLimit; }
  void take(std::string_view piece) override {
    bytes += piece.size();
    if (at_first && pauses) open = false;
    at_first = false;
  }
  bool ready() const override { return open; }
  bool wanted() const override { return true; }
  std::atomic<std::size_t> bytes = 0;
  bool open = true, at_first = true, pauses = false;
};

// Uploads to /up go to `sink`, which is told in the answer; all else is answered with its length.
struct UploadServer {
  UploadServer()
      : server(
            [](Request request, Responder responder) {
              const auto taken = std::dynamic_pointer_cast<Counter>(request.sink);
              responder.respond(
                  200, {},
                  taken ? "sank " + std::to_string(taken->bytes) : std::to_string(request.body.size()));
            },
            options()) {}
  ServerOptions options() {
    ServerOptions made;
    made.limits.body_bytes = 100;
    made.uploads = [this](const Request& head) -> std::shared_ptr<BodySink> {
      return head.path == "/up" ? sink : nullptr;
    };
    return made;
  }
  std::shared_ptr<Counter> sink = std::make_shared<Counter>();
  TestServer server;
};

std::string post(std::string_view path, std::size_t length) {
  return "POST " + std::string(path) + " HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(length) +
         "\r\n\r\n";
}

TEST(Upload, GoesToItsSinkUnderItsOwnLimit) {
  UploadServer uploads;
  RawClient client(uploads.server.port());
  ASSERT_TRUE(client.send(post("/up", kLimit)));
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(client.send(std::string(kLimit / 8, 'x')));
  EXPECT_THAT(client.read_until("sank " + std::to_string(kLimit)), HasSubstr("200 OK"));
  ASSERT_TRUE(client.send(post("/other", 3) + "abc"));
  EXPECT_THAT(client.read_until("\r\n\r\n3"), HasSubstr("200 OK"));
  RawClient longer(uploads.server.port());
  ASSERT_TRUE(longer.send(post("/up", kLimit + 1)));
  EXPECT_THAT(longer.read_all(), HasSubstr("413"));
  RawClient other(uploads.server.port());
  ASSERT_TRUE(other.send(post("/other", 101)));
  EXPECT_THAT(other.read_all(), HasSubstr("413"));
}

TEST(Upload, IsReadNoFasterThanItIsTaken) {
  UploadServer uploads;
  uploads.sink->pauses = true;
  RawClient client(uploads.server.port());
  ASSERT_TRUE(client.send(post("/up", 64 * 1024)));
  ASSERT_TRUE(client.send(std::string(64 * 1024, 'x')));
  const auto paused = [&] {
    bool shut = false;
    uploads.server.run([&] { shut = !uploads.sink->open; });
    return shut;
  };
  while (!paused()) {
  }
  // A turn of the executor in which it could have read more.
  for (int i = 0; i < 100; ++i) uploads.server.run([] {});
  EXPECT_LE(uploads.sink->bytes, 8192u);
  uploads.server.run([&] {
    uploads.sink->open = true;
    uploads.sink->resume();
  });
  EXPECT_THAT(client.read_until("sank 65536"), EndsWith("sank 65536"));
}

TEST(Drained, AStreamIsAsLongAsOneLikes) {
  constexpr int kPieces = 400;
  static const std::string kPiece(64 * 1024, 'y');
  struct Sender : std::enable_shared_from_this<Sender> {
    explicit Sender(Stream to) : stream(std::move(to)) {}
    void next() {
      if (sent++ == kPieces) return stream.finish();
      EXPECT_TRUE(stream.write(kPiece));
      stream.when_drained([self = shared_from_this()] { self->next(); });
    }
    Stream stream;
    int sent = 0;
  };
  TestServer server([](Request, Responder responder) {
    std::make_shared<Sender>(responder.start_stream(200, {}))->next();
  });
  std::size_t seen = 0;
  const auto answer = Client().request_stream({.url = server.url("/")}, [&](std::string_view part) {
    seen += part.size();
    return true;
  });
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(seen, kPieces * kPiece.size());
}

}  // namespace
}  // namespace cortensor::http
