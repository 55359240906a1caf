// Claims: whoever breaks the rules of docs/spec/wire.md is told which one and is cut off, the router hears of
// it once if it had been greeted and never otherwise, and an honest node beside it is not disturbed.
#include <gmock/gmock.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/support/sync_stream.h>
#include <gtest/gtest.h>

#include <latch>

#include "network.h"
#include "sockets.h"
#include "wire/bytes.h"
#include "wire/codec.h"
#include "wire/credentials.h"

namespace cortensor::wire {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

// A client without manners: sends any bytes.
class RawNode {
 public:
  RawNode(const protocol::JoinLink& join, const crypto::PrivateKey& key) {
    context_.set_deadline(std::chrono::system_clock::now() +
                          std::chrono::seconds(60));  // of a test that fails anyway
    const auto channel =
        grpc::CreateChannel(join.host + ":" + std::to_string(join.port),
                            channel_credentials(key, std::make_shared<Pin>("test", join.router)));
    using Factory = grpc::internal::ClientReaderWriterFactory<grpc::ByteBuffer, grpc::ByteBuffer>;
    const grpc::internal::RpcMethod method("/cortensor.v1.Router/Attach",
                                           grpc::internal::RpcMethod::BIDI_STREAMING, channel);
    stream_.reset(Factory::Create(channel.get(), method, &context_));
  }
  bool write(const std::string& bytes) { return stream_->Write(to_buffer(bytes)); }
  bool write(std::uint64_t sequence, protocol::NodeMessage message) {
    return write(encode(NodeFrame{sequence, std::move(message)}));
  }
  // Reads to the end; how the router ended the stream.
  grpc::Status status() {
    grpc::ByteBuffer ignored;
    while (stream_->Read(&ignored)) {
    }
    return stream_->Finish();
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>> stream_;
};

class Faults : public testing::Test {
 protected:
  Faults() {
    EXPECT_TRUE(router.wait([&] { return router.hellos.size() == 1; }));
    honest_link = router.hellos[0].first;
  }
  ~Faults() override {
    // The honest node is still there and still heard.
    honest.send(protocol::Heartbeat{4711});
    EXPECT_TRUE(
        router.wait([&] { return !router.messages.empty() && router.messages.back().first == honest_link; }));
    for (const auto& [link, why] : router.closed) EXPECT_NE(link, honest_link) << why.message;
    EXPECT_TRUE(honest.disconnected.empty());
  }

  // The second node was greeted and then closed for `why`, once.
  void expect_closed(const std::string& why) {
    ASSERT_TRUE(router.wait([&] { return router.closed.size() == 1; }));
    ASSERT_EQ(router.hellos.size(), 2u);
    EXPECT_EQ(router.closed[0].first, router.hellos[1].first);
    EXPECT_EQ(router.closed[0].second.message, why);
  }

  static NodeServerOptions options() {
    NodeServerOptions options;
    options.hello_timeout = milliseconds(500);
    return options;
  }

  Router router{options()};
  TestExecutor executor;
  Node honest{executor, router.join(), test_key(1)};
  protocol::LinkId honest_link = 0;
};

TEST_F(Faults, AReplayedFrameEndsTheLink) {
  RawNode raw(router.join(), test_key(2));
  ASSERT_TRUE(raw.write(1, hello_of(test_key(2))));
  for (std::uint64_t i = 2; i <= 4; ++i) ASSERT_TRUE(raw.write(i, protocol::Heartbeat{}));
  raw.write(4, protocol::Heartbeat{99});
  const auto status = raw.status();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "replayed frame: expected sequence 5, found 4");
  expect_closed("replayed frame: expected sequence 5, found 4");
  EXPECT_EQ(router.messages.size(), 3u);  // the replayed one was not delivered
}

TEST_F(Faults, AMissingFrameEndsTheLink) {
  RawNode raw(router.join(), test_key(2));
  ASSERT_TRUE(raw.write(1, hello_of(test_key(2))));
  raw.write(3, protocol::Heartbeat{});
  EXPECT_EQ(raw.status().error_message(), "missing frame: expected sequence 2, found 3");
  expect_closed("missing frame: expected sequence 2, found 3");
  EXPECT_TRUE(router.messages.empty());
}

TEST_F(Faults, AHelloOfAnotherNodeIsRefused) {
  RawNode raw(router.join(), test_key(2));
  ASSERT_TRUE(raw.write(1, hello_of(test_key(3))));
  const auto status = raw.status();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(status.error_message(), "certificate is of node " + test_key(2).node_id().value +
                                        ", hello claims " + test_key(3).node_id().value);
  EXPECT_EQ(router.hellos.size(), 1u);
  EXPECT_TRUE(router.closed.empty());
}

TEST_F(Faults, TheFirstMessageMustBeAHelloAndTheOnlyOne) {
  RawNode impatient(router.join(), test_key(2));
  ASSERT_TRUE(impatient.write(1, protocol::Heartbeat{}));
  EXPECT_EQ(impatient.status().error_message(), "the first message is not a Hello");
  RawNode twice(router.join(), test_key(2));
  ASSERT_TRUE(twice.write(1, hello_of(test_key(2))));
  twice.write(2, hello_of(test_key(2)));
  EXPECT_EQ(twice.status().error_message(), "a second Hello");
  expect_closed("a second Hello");
}

TEST_F(Faults, AHelloMustComeInTime) {
  RawNode silent(router.join(), test_key(2));
  const auto status = silent.status();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(status.error_message(), "no Hello within the time allowed");
  EXPECT_EQ(router.hellos.size(), 1u);
}

TEST_F(Faults, GarbageIsRefused) {
  RawNode raw(router.join(), test_key(2));
  ASSERT_TRUE(raw.write("\xff\xff\xff\xff garbage"));
  EXPECT_EQ(raw.status().error_message(), "frame: the bytes do not parse");
  RawNode later(router.join(), test_key(2));
  ASSERT_TRUE(later.write(1, hello_of(test_key(2))));
  later.write(std::string());
  EXPECT_EQ(later.status().error_message(), "frame.message: expected one that version 1 knows, found none");
  expect_closed("frame.message: expected one that version 1 knows, found none");
}

TEST_F(Faults, AnOversizeFrameIsRefused) {
  RawNode raw(router.join(), test_key(2));
  ASSERT_TRUE(raw.write(1, hello_of(test_key(2))));
  ASSERT_TRUE(router.wait([&] { return router.hellos.size() == 2; }));
  raw.write(std::string(kMaxNodeFrameBytes + 1, 'x'));
  EXPECT_EQ(raw.status().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  ASSERT_TRUE(router.wait([&] { return router.closed.size() == 1; }));
  EXPECT_EQ(router.closed[0].first, router.hellos[1].first);
}

TEST_F(Faults, ANodeThatDoesNotReadIsCutWhenItsOutboxOverflows) {
  RawNode raw(router.join(), test_key(2));
  ASSERT_TRUE(raw.write(1, hello_of(test_key(2))));
  ASSERT_TRUE(router.wait([&] { return router.hellos.size() == 2; }));
  const auto link = router.hellos[1].first;
  protocol::Assign big{AttemptId("att_1"), {}, {}, {}, {}};
  big.request.prompt.assign(protocol::kMaxPromptTokens, ~TokenId{0});
  for (int i = 0; i < 60; ++i) router.send(link, big);  // 1.3 MB each: more than the outbox and every window
  ASSERT_TRUE(router.wait([&] { return router.closed.size() == 1; }));
  EXPECT_EQ(router.closed[0].first, link);
  EXPECT_EQ(router.closed[0].second.kind, ErrorKind::overloaded);
  EXPECT_THAT(router.closed[0].second.message, HasSubstr("the node reads too slowly"));
  EXPECT_FALSE(raw.status().ok());
}

TEST(ClientFaults, AnotherRouterKeyIsNotAccepted) {
  Router router;
  TestExecutor executor;
  protocol::JoinLink join = router.join();
  join.router = test_key(77).node_id();
  Node node(executor, join, test_key(1));
  ASSERT_TRUE(node.wait([&] { return node.disconnected.size() >= 2; }));  // it goes on trying
  node.stop();
  EXPECT_EQ(node.disconnected[0].kind, ErrorKind::unauthenticated);
  EXPECT_EQ(node.disconnected[0].message, "router at 127.0.0.1:" + std::to_string(router.port()) +
                                              " presents key " + router.key().node_id().value +
                                              ", join link expects " + join.router.value);
  EXPECT_EQ(node.connected, 0u);
  EXPECT_TRUE(router.hellos.empty());
}

TEST(ClientFaults, AWrongHelloIsToldAndCanBeMended) {
  Router router;
  TestExecutor executor;
  Node node(executor, router.join(), test_key(1));
  ASSERT_TRUE(router.wait([&] { return router.hellos.size() == 1; }));
  node.say(hello_of(test_key(2)));
  router.close(router.hellos[0].first, fail(ErrorKind::unavailable, "again, please"));
  ASSERT_TRUE(node.wait([&] { return node.disconnected.size() >= 2; }));
  node.say(hello_of(test_key(1)));
  ASSERT_TRUE(router.wait([&] { return router.hellos.size() == 2; }));
  EXPECT_EQ(node.disconnected[1].kind, ErrorKind::unauthenticated);
  EXPECT_THAT(node.disconnected[1].message,
              HasSubstr("certificate is of node " + test_key(1).node_id().value));
}

TEST(ClientFaults, ARouterThatDoesNotReadEndsTheConnection) {
  Router router;
  TestExecutor executor;
  NodeClientOptions options = quick();
  options.outbox.bytes = 1 << 20;
  Node node(executor, router.join(), test_key(1), options);
  ASSERT_TRUE(router.wait([&] { return router.hellos.size() == 1; }));
  std::latch release(1);
  router.executor.post([&] { release.wait(); });  // the router is busy: it reads one message and no more
  const protocol::Steps steps{AttemptId("att_1"), 0, std::vector<Step>(protocol::kMaxStepsPerMessage), {}};
  for (int i = 0; i < 1000; ++i) node.send(steps);  // 34 KB each
  EXPECT_TRUE(node.wait([&] { return !node.disconnected.empty(); }));
  release.count_down();
  // It returns; what of the flood is still to be sent may end the new link, too.
  ASSERT_TRUE(router.wait(
      [&] { return !router.closed.empty() && router.hellos.size() == router.closed.size() + 1; }));
  EXPECT_EQ(node.disconnected[0].kind, ErrorKind::overloaded);
  EXPECT_THAT(node.disconnected[0].message, HasSubstr("the router reads too slowly"));
}

TEST(ClientFaults, BothEndsNoticeASilentNetwork) {
  NodeServerOptions server;
  server.keepalive_interval = server.keepalive_timeout = milliseconds(200);
  Router router(server);
  Proxy proxy(router.port());
  TestExecutor executor;
  NodeClientOptions options = quick();
  options.keepalive_interval = options.keepalive_timeout = milliseconds(200);
  options.dial_timeout = milliseconds(500);
  protocol::JoinLink join = router.join();
  join.port = proxy.port();
  Node node(executor, join, test_key(1), options);
  ASSERT_TRUE(router.wait([&] { return router.hellos.size() == 1; }));
  proxy.freeze();
  EXPECT_TRUE(router.wait([&] { return router.closed.size() == 1; }));
  EXPECT_TRUE(node.wait([&] { return node.disconnected.size() >= 2; }));  // dialing through it fails, too
  EXPECT_EQ(node.connected, 1u);
}

TEST(ClientFaults, StopWhileDialingAndWithoutARouter) {
  Listener silent;  // takes the connection and says nothing
  TestExecutor executor;
  const protocol::JoinLink join{"127.0.0.1", silent.port(), test_key(200).node_id(), "token"};
  {
    Node node(executor, join, test_key(1));
    const Socket connection = silent.accept();  // it is dialing now
    node.stop();
    node.destroy();
    EXPECT_TRUE(node.disconnected.empty());
  }
  { const Node node(executor, join, test_key(1)); }  // destroyed at once
  std::uint16_t closed_port = 0;
  {
    const Listener gone;
    closed_port = gone.port();
  }
  Node node(executor, {"127.0.0.1", closed_port, join.router, "token"}, test_key(1));
  ASSERT_TRUE(node.wait([&] { return node.disconnected.size() >= 3; }));
  node.stop();
  EXPECT_EQ(node.disconnected[0].kind, ErrorKind::unavailable);
  EXPECT_THAT(node.disconnected[0].message, HasSubstr("Connection refused"));
}

}  // namespace
}  // namespace cortensor::wire
