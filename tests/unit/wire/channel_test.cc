// Claims: over real sockets every message arrives as it was sent and in order, in both directions; links end
// as protocol/link.h says, each with one last event; a client comes back by itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "network.h"
#include "random_messages.h"

namespace cortensor::wire {
namespace {

using testing::HasSubstr;

TEST(Channel, CarriesEveryMessageBothWays) {
  Router router;
  TestExecutor executor;
  Node node(executor, router.join(), test_key(1));
  ASSERT_TRUE(router.wait([&] { return router.hellos.size() == 1; }));
  EXPECT_EQ(router.hellos[0].second, hello_of(test_key(1)));
  const auto link = router.hellos[0].first;

  RandomMessages random(1);
  std::vector<protocol::NodeMessage> up;
  std::vector<protocol::RouterMessage> down;
  for (int round = 0; round < 20; ++round) {
    for (std::size_t kind = 1; kind < std::variant_size_v<protocol::NodeMessage>; ++kind)
      node.send(up.emplace_back(random.node_message(kind)));
    for (std::size_t kind = 0; kind < std::variant_size_v<protocol::RouterMessage>; ++kind)
      router.send(link, down.emplace_back(random.router_message(kind)));
  }
  ASSERT_TRUE(router.wait([&] { return router.messages.size() == up.size(); }));
  ASSERT_TRUE(node.wait([&] { return node.messages.size() == down.size(); }));
  for (std::size_t i = 0; i < up.size(); ++i) {
    EXPECT_EQ(router.messages[i].first, link);
    EXPECT_TRUE(router.messages[i].second == up[i]) << i;
  }
  EXPECT_TRUE(node.messages == down);
  EXPECT_TRUE(router.closed.empty());
  EXPECT_TRUE(node.disconnected.empty());
}

TEST(Channel, CarriesTheLargestFrame) {
  Router router;
  TestExecutor executor;
  Node node(executor, router.join(), test_key(1));
  ASSERT_TRUE(router.wait([&] { return router.hellos.size() == 1; }));
  RandomMessages random(2);
  auto check = std::get<protocol::Check>(random.router_message(4));
  check.request.prompt.assign(protocol::kMaxPromptTokens, ~TokenId{0});
  check.steps.assign(protocol::kMaxAnswerTokens, {~TokenId{0}, {}});
  router.send(router.hellos[0].first, check);
  ASSERT_TRUE(node.wait([&] { return node.messages.size() == 1; }));
  EXPECT_TRUE(std::get<protocol::Check>(node.messages[0]) == check);
}

TEST(Channel, ARefusalSentBeforeCloseIsDelivered) {
  Router router;
  TestExecutor executor;
  Node node(executor, router.join(), test_key(1));
  ASSERT_TRUE(router.wait([&] { return router.hellos.size() == 1; }));
  const auto link = router.hellos[0].first;
  router.send(link, protocol::Refusal{ErrorKind::forbidden, "wrong join token"});
  router.close(link, fail(ErrorKind::forbidden, "not admitted"));
  ASSERT_TRUE(node.wait([&] { return !node.disconnected.empty(); }));
  ASSERT_EQ(node.messages.size(), 1u);
  EXPECT_EQ(std::get<protocol::Refusal>(node.messages[0]).message, "wrong join token");
  EXPECT_EQ(node.disconnected[0].kind, ErrorKind::forbidden);
  EXPECT_THAT(node.disconnected[0].message, HasSubstr("not admitted"));
  ASSERT_TRUE(router.wait([&] { return !router.closed.empty(); }));
  EXPECT_EQ(router.closed[0].first, link);
  EXPECT_EQ(router.closed[0].second.message, "not admitted");
  // It dials again; the new link is another one.
  ASSERT_TRUE(router.wait([&] { return router.hellos.size() == 2; }));
  EXPECT_NE(router.hellos[1].first, link);
}

TEST(Channel, StopDeliversWhatWasSentAndClosesOnce) {
  Router router;
  TestExecutor executor;
  Node node(executor, router.join(), test_key(1));
  ASSERT_TRUE(router.wait([&] { return router.hellos.size() == 1; }));
  for (std::uint32_t i = 0; i < 100; ++i) node.send(protocol::Heartbeat{i});
  node.stop();
  node.destroy();
  ASSERT_TRUE(router.wait([&] { return router.closed.size() == 1; }));
  EXPECT_EQ(router.closed[0].second.message, "the node closed the connection");
  EXPECT_EQ(router.messages.size(), 100u);
  EXPECT_TRUE(node.disconnected.empty());  // nothing is told after stop()
}

TEST(Channel, ClientReturnsByItselfWhenTheRouterDoes) {
  Router router;
  router.welcome = true;
  TestExecutor executor;
  Node node(executor, router.join(), test_key(1));
  ASSERT_TRUE(node.wait([&] { return node.messages.size() == 1; }));
  for (std::size_t round = 1; round <= 3; ++round) {
    router.shutdown();
    ASSERT_TRUE(router.wait([&] { return router.closed.size() == round; }));
    std::size_t told = 0;
    ASSERT_TRUE(node.wait([&] {
      told = node.disconnected.size();
      return true;
    }));
    router.stop();
    ASSERT_TRUE(node.wait([&] { return node.disconnected.size() > told + 1; }));  // attempts in between fail
    router.start();
    ASSERT_TRUE(router.wait([&] { return router.hellos.size() == round + 1; }));
    ASSERT_TRUE(node.wait([&] { return node.messages.size() == round + 1; }));
    ASSERT_TRUE(node.wait([&] { return node.connected == round + 1; }));
  }
  EXPECT_EQ(router.closed.size(), 3u);
  EXPECT_EQ(node.disconnected[0].kind, ErrorKind::unavailable);
  EXPECT_THAT(node.disconnected[0].message, HasSubstr("the router is shutting down"));
}

TEST(Channel, FiftyClientsAtOnce) {
  Router router;
  router.welcome = true;
  TestExecutor executor;
  std::vector<std::unique_ptr<Node>> nodes;
  for (std::uint8_t i = 0; i < 50; ++i)
    nodes.push_back(std::make_unique<Node>(executor, router.join(), test_key(i)));
  for (auto& node : nodes) ASSERT_TRUE(node->wait([&] { return node->messages.size() == 1; }));
  for (auto& node : nodes)
    for (std::uint32_t i = 0; i < 20; ++i) node->send(protocol::Heartbeat{i});
  ASSERT_TRUE(router.wait([&] { return router.messages.size() == 50 * 20; }));
  std::map<protocol::LinkId, std::uint32_t> next;
  for (const auto& [link, message] : router.messages)
    EXPECT_EQ(std::get<protocol::Heartbeat>(message).busy_slots, next[link]++);
  EXPECT_EQ(next.size(), 50u);
  nodes.clear();
  ASSERT_TRUE(router.wait([&] { return router.closed.size() == 50; }));
}

TEST(Channel, RefusesMoreNodesThanItsLimit) {
  NodeServerOptions options;
  options.max_links = 1;
  Router router(options);
  TestExecutor executor;
  auto first = std::make_unique<Node>(executor, router.join(), test_key(1));
  ASSERT_TRUE(router.wait([&] { return router.hellos.size() == 1; }));
  Node second(executor, router.join(), test_key(2));
  ASSERT_TRUE(second.wait([&] { return !second.disconnected.empty(); }));
  first.reset();
  ASSERT_TRUE(router.wait([&] { return router.hellos.size() == 2; }));  // now there is room
  EXPECT_EQ(second.disconnected[0].kind, ErrorKind::overloaded);
  EXPECT_THAT(second.disconnected[0].message, HasSubstr("no more than 1 nodes"));
}

TEST(Channel, APortInUseIsAnError) {
  Router router;
  NodeServerOptions options;
  options.port = router.port();
  const auto second = NodeServer::listen(options, test_key(3), router.executor, router);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().message, "cannot listen on 127.0.0.1:" + std::to_string(router.port()));
}

}  // namespace
}  // namespace cortensor::wire
