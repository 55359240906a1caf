// Claims: the parser finds the same request however its bytes are cut, leaves the next request's bytes alone,
// and refuses what is malformed, ambiguous or beyond a limit with the right status.
#include "http/request_parser.h"

#include <gtest/gtest.h>

namespace cortensor::http {
namespace {

using Stage = RequestParser::Stage;

// Presents the bytes as a connection would, in pieces of `step`; what is left over is in `rest`.
Stage feed(RequestParser& parser, std::string_view bytes, std::size_t step, std::string* rest = nullptr) {
  std::string waiting;
  while (!bytes.empty() && parser.stage() < Stage::complete) {
    waiting += bytes.substr(0, step);
    bytes.remove_prefix(std::min(step, bytes.size()));
    waiting.erase(0, parser.feed(waiting));
  }
  if (rest != nullptr) *rest = waiting + std::string(bytes);
  return parser.stage();
}

int status_of(std::string_view bytes) {
  RequestParser parser(1024, 2048);
  return feed(parser, bytes, bytes.size()) == Stage::failed ? parser.status() : 0;
}

TEST(RequestParser, FindsTheSameRequestHoweverCut) {
  const std::string sized =
      "\r\nPOST /v1/x?a=b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nX: 1\r\n\r\nhello";
  const std::string chunked =
      "POST http://h/v1/x?a=b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nX: 1\r\n\r\n"
      "2;ext=1\r\nhe\r\n3 ;e\r\nllo\r\n00\r\nTrailer: t\r\n\r\n";
  for (const std::string& text : {sized, chunked}) {
    for (std::size_t step = 1; step <= text.size() + 3; ++step) {
      RequestParser parser(1024, 2048);
      std::string rest;
      ASSERT_EQ(feed(parser, text + "GET", step, &rest), Stage::complete) << step << " " << parser.message();
      EXPECT_EQ(rest, "GET");
      EXPECT_TRUE(parser.keep_alive());
      const Request request = parser.take();
      EXPECT_EQ(request.method, "POST");
      EXPECT_EQ(request.path, "/v1/x");
      EXPECT_EQ(request.query, "a=b");
      EXPECT_EQ(request.body, "hello");
      EXPECT_EQ(request.header("x"), "1");
    }
  }
}

TEST(RequestParser, RefusesWhatIsMalformedOrAmbiguous) {
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\n\r\n"), 400) << "no Host";
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET  / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET x HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), 505);
  EXPECT_EQ(status_of("\x16\x03\x01\x02 TLS to a plain port"), 400);
  EXPECT_EQ(status_of("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"), 400);
  EXPECT_EQ(status_of("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"), 400);
  EXPECT_EQ(
      status_of("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
      400);
  EXPECT_EQ(status_of("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n"), 501);
  EXPECT_EQ(status_of("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost : a\r\n\r\n"), 400);
}

TEST(RequestParser, HoldsToItsLimits) {
  const std::string head = "POST / HTTP/1.1\r\nHost: a\r\n";
  EXPECT_EQ(status_of(head + "X: " + std::string(2000, 'x') + "\r\n\r\n"), 431);
  EXPECT_EQ(status_of("GET /" + std::string(2000, 'x')), 431);
  EXPECT_EQ(status_of(head + "Content-Length: 2048\r\n\r\n"), 0);
  EXPECT_EQ(status_of(head + "Content-Length: 2049\r\n\r\n"), 413);
  EXPECT_EQ(status_of(head + "Transfer-Encoding: chunked\r\n\r\n801\r\n"), 413);
  EXPECT_EQ(status_of(head + "Transfer-Encoding: chunked\r\n\r\n1;" + std::string(2000, 'x')), 400);
  RequestParser parser(1024, 2048);
  EXPECT_EQ(feed(parser, "GET /" + std::string(2000, 'x'), 1), Stage::failed);
}

// The shortest chunked body, its parts in packets of their own.
TEST(RequestParser, TakesAnEmptyChunkedBodyInAnyParts) {
  const std::string head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (std::size_t step = 1; step < 8; ++step) {
    RequestParser parser(1024, 2048);
    ASSERT_EQ(parser.feed(head), head.size());
    EXPECT_EQ(feed(parser, "0\r\n\r\n", step), Stage::complete);
    EXPECT_EQ(parser.take().body, "");
  }
}

TEST(RequestParser, TakesABodyWhoseLastPartIsACarriageReturn) {
  for (const std::size_t step : {1u, 7u, 100u}) {
    RequestParser parser(1024, 2048);
    EXPECT_EQ(feed(parser, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nab\r", step),
              Stage::complete);
    EXPECT_EQ(parser.take().body, "ab\r");
  }
}

TEST(RequestParser, RefusesAmbiguousChunks) {
  const std::string head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const char* bad : {"1\nx\r\n0\r\n\r\n", "1\r\nxy\r\n", "1\r\nx\n0\r\n\r\n", "+1\r\nx\r\n",
                          "0x1\r\nx\r\n", "\r\n", "-1\r\n", "1;a\rb\r\nx\r\n", "1 1\r\nx\r\n",
                          "0\r\nno colon\r\n\r\n", "0\r\n folded: x\r\n\r\n", "0\r\n: x\r\n\r\n"}) {
    EXPECT_EQ(status_of(head + bad), 400) << bad;
  }
  EXPECT_EQ(status_of(head + "FFFFFFFFFFFFFFFF\r\n"), 413);
  EXPECT_EQ(status_of(head + "FFFFFFFFFFFFFFFFF\r\n"), 413);
  std::string trailers = head + "0\r\n";
  for (int i = 0; i < 1000; ++i) trailers += "Trailer: t\r\n";
  EXPECT_EQ(status_of(trailers), 400);
}

// The header limit is exact, whether the bytes come one by one, all at once, or with a body behind them.
TEST(RequestParser, CountsTheHeaderExactly) {
  const std::string head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\nX: ";
  const std::string body(900, 'b');
  for (const std::size_t size : {1024, 1025}) {
    const std::string text = head + std::string(size - head.size() - 4, 'x') + "\r\n\r\n" + body;
    for (const std::size_t step : {std::size_t{1}, std::size_t{7}, text.size()}) {
      RequestParser parser(1024, 2048);
      EXPECT_EQ(feed(parser, text, step), size == 1024 ? Stage::complete : Stage::failed)
          << size << " by " << step;
    }
  }
}

}  // namespace
}  // namespace cortensor::http
