// Claims: a client keeps its connection for the next request to the same server, and makes a new one where
// that has closed it or the request goes elsewhere.
#include "http/client.h"

#include <gtest/gtest.h>

#include <thread>

#include "test_server.h"

namespace cortensor::http {
namespace {

void hello(Request, Responder responder) {
  responder.respond(200, {}, "hello");
}
ServerOptions for_one_connection() {
  ServerOptions options;
  options.limits.connections = 1;
  return options;
}
int status(Client& client, const TestServer& server, Headers headers = {}) {
  const auto response = client.request({"GET", server.url("/"), std::move(headers), {}});
  return response ? response->status : 0;
}

TEST(Client, KeepsItsConnection) {
  TestServer server(hello, for_one_connection());
  Client one, other;
  EXPECT_EQ(status(one, server), 200);
  EXPECT_EQ(status(other, server), 503);  // there is one already
  EXPECT_EQ(status(one, server), 200);
}

TEST(Client, ReplacesAConnectionThatWasClosed) {
  ServerOptions options;
  options.limits.idle_timeout = std::chrono::milliseconds(1);
  TestServer server(hello, options);
  Client client;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(status(client, server), 200);
    for (std::size_t open = 1; open > 0;) server.run([&] { open = server.server().connections(); });
  }
  EXPECT_EQ(status(client, server, {{"Connection", "close"}}), 200);
  EXPECT_EQ(status(client, server), 200);
}

TEST(Client, SaysSoWhereNobodyListensAnyMore) {
  Client client;
  std::string url;
  {
    TestServer server(hello);
    url = server.url("/");
    EXPECT_EQ(status(client, server), 200);
  }
  EXPECT_EQ(client.request({"GET", url, {}, {}}).error().kind, ErrorKind::unavailable);
}

TEST(Client, GoesElsewhereWhenAskedTo) {
  TestServer one(hello), other([](Request, Responder responder) { responder.respond(404, {}, ""); });
  Client client;
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(status(client, one), 200);
    EXPECT_EQ(status(client, other), 404);
  }
}

}  // namespace
}  // namespace cortensor::http
