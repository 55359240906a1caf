// Claims: the textual helpers (headers, escapes, URLs, events, error bodies) hold to their formats, however
// cut.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "http/message.h"
#include "http/sse.h"
#include "http/status_map.h"
#include "http/url.h"

namespace cortensor::http {
namespace {

using testing::ElementsAre;

TEST(Message, FindsHeadersWithoutCase) {
  Request request;
  request.headers = {{"Host", "a"}, {"AUTHORIZATION", "bearer  sk-1"}};
  EXPECT_EQ(request.header("host"), "a");
  EXPECT_EQ(request.header("hos"), std::nullopt);
  EXPECT_EQ(request.bearer_token(), "sk-1");
  request.headers[1].second = "Basic sk-1";
  EXPECT_EQ(request.bearer_token(), std::nullopt);
  request.headers[1].second = "Bearer   ";
  EXPECT_EQ(request.bearer_token(), std::nullopt);
}

TEST(Message, DecodesEscapesAndQueries) {
  EXPECT_EQ(percent_decode("a%2Fb%c3%A9+"), "a/b\u00e9+");
  EXPECT_EQ(percent_decode("%4"), std::nullopt);
  EXPECT_EQ(percent_decode("%zz"), std::nullopt);
  Request request;
  request.query = "limit=10&after=a+b%26&flag&bad=%1";
  EXPECT_EQ(*request.query_value("limit"), "10");
  EXPECT_EQ(*request.query_value("after"), "a b&");
  EXPECT_EQ(*request.query_value("flag"), "");
  EXPECT_EQ(request.query_value("bad").error().message, "bad: broken percent-encoding");
  EXPECT_EQ(*request.query_value("none"), std::nullopt);
}

TEST(Url, SplitsWhatItAcceptsAndRefusesTheRest) {
  const auto url = parse_url("https://example.org/v1?x=1#part");
  ASSERT_TRUE(url);
  EXPECT_TRUE(url->tls);
  EXPECT_EQ(url->authority(), "example.org");
  EXPECT_EQ(url->port, "443");
  EXPECT_EQ(url->target, "/v1?x=1");
  const auto address = parse_url("http://[::1]:8080?q");
  ASSERT_TRUE(address);
  EXPECT_EQ(address->host, "::1");
  EXPECT_EQ(address->authority(), "[::1]:8080");
  EXPECT_EQ(address->target, "/?q");
  for (const char* bad : {"", "ftp://a", "http://", "http://a:0", "http://a:65536", "http://a:x",
                          "http://a b", "http://u@a", "http://[::1", "http://a\r\n", "http://[::1]8"}) {
    EXPECT_FALSE(parse_url(bad)) << bad;
  }
}

// A stream of events, cut at every place, comes out the same.
TEST(Sse, ParsesAnyCut) {
  const std::string text = sse_data("{\"a\":1}") + ": ping\n\nevent: usage\n" + sse_data("one\ntwo") +
                           "id: 7\r\ndata:x\r\n\r\nevent: nothing\n\ndata\rdata: [DONE]\r\r";
  std::vector<std::string> whole;
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    SseParser parser;
    std::vector<std::string> seen;
    const auto note = [&](const SseEvent& event) {
      seen.push_back(event.name + "|" + event.data + "|" + event.id);
    };
    ASSERT_TRUE(parser.feed(text.substr(0, cut), note));
    ASSERT_TRUE(parser.feed(text.substr(cut), note));
    EXPECT_THAT(seen,
                ElementsAre("message|{\"a\":1}|", "usage|one\ntwo|", "message|x|7", "message|\n[DONE]|7"))
        << "cut at " << cut;
  }
}

TEST(Sse, KeepsLineBreaksAndRefusesEndlessEvents) {
  EXPECT_EQ(sse_data("a\r\nb\n"), "data: a\ndata: b\ndata: \n\n");
  SseParser parser;
  const std::string part(1024 * 1024, 'x');
  Status status = ok();
  for (int i = 0; i < 5 && status; ++i) status = parser.feed(part, [](const SseEvent&) {});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().kind, ErrorKind::corrupt);
}

TEST(StatusMap, MakesTheErrorShapeOfOpenAi) {
  EXPECT_EQ(error_body("no \"x\"", "invalid_request_error", "", "model"),
            R"({"error":{"message":"no \"x\"","type":"invalid_request_error","param":"model","code":null}})");
  EXPECT_EQ(error_body("\xff", "t", "c"),
            "{\"error\":{\"message\":\"\xef\xbf\xbd\",\"type\":\"t\",\"param\":null,\"code\":\"c\"}}");
  const Response money = error_response(fail(ErrorKind::payment_required, "need 5"));
  EXPECT_EQ(money.status, 402);
  EXPECT_EQ(
      money.body,
      R"({"error":{"message":"need 5","type":"insufficient_quota","param":null,"code":"insufficient_quota"}})");
  const Response busy = error_response(fail(ErrorKind::overloaded, "busy"));
  EXPECT_EQ(busy.status, 429);
  EXPECT_FALSE(find_header(busy.headers, "retry-after"));  // whoever has the queue knows
  EXPECT_EQ(http_error(ErrorKind::unavailable).status, 503);
  EXPECT_EQ(http_error(ErrorKind::timed_out).status, 504);
  EXPECT_EQ(http_error(ErrorKind::conflict).status, 409);
}

// What went wrong inside is for our log, not for the client.
TEST(StatusMap, HidesInternalMessages) {
  const Response response = error_response(fail(ErrorKind::internal, "row 7 of table accounts"));
  EXPECT_EQ(response.status, 500);
  EXPECT_EQ(response.body.find("accounts"), std::string::npos);
}

}  // namespace
}  // namespace cortensor::http
