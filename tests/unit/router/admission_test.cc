// Claims: only nodes with the right protocol, arithmetic, models and token are let in, and each is told why
// not.
#include <gmock/gmock.h>

#include "world.h"

namespace cortensor::router {
namespace {

using ::testing::HasSubstr;

class AdmissionTest : public World {
 protected:
  AdmissionTest() : node(links, *core, *model, protocol::Role::miner, 77) {
    token = *ledger->create_join_token(protocol::Role::miner, executor.wall_now() + std::chrono::hours(1), 1,
                                       executor.wall_now());
  }
  protocol::Refusal refused(protocol::Hello hello) {
    const protocol::LinkId link = links.open();
    core->on_hello(link, node.id, std::move(hello));
    EXPECT_TRUE(links.closed.contains(link));
    executor.run();
    EXPECT_EQ(core->nodes().nodes().size(), 0u);
    return std::get<protocol::Refusal>(links.sent[link].at(0));
  }

  FakeNode node;
  std::string token;
};

TEST_F(AdmissionTest, EachThingThatIsWrongIsNamed) {
  auto hello = node.hello(token);
  hello.protocol_version = 99;
  EXPECT_THAT(refused(hello).message, HasSubstr("protocol: expected version 1, found 99"));
  hello = node.hello(token);
  hello.arithmetic_version = 99;
  EXPECT_THAT(refused(hello).message, HasSubstr("arithmetic: expected version 7, found 99"));
  hello = node.hello(token);
  hello.slots = 0;
  EXPECT_THAT(refused(hello).message, HasSubstr("slots"));
  hello = node.hello(token);
  hello.models.clear();
  EXPECT_THAT(refused(hello).message, HasSubstr("models"));
  hello = node.hello(token);
  hello.models[0].manifest.weights.fill(9);
  EXPECT_THAT(refused(hello).message, HasSubstr("model tiny:q8_0: expected weights 0101"));
  hello.models[0].manifest.id = "other";
  EXPECT_THAT(refused(hello).message, HasSubstr("model other is not served here"));
  EXPECT_EQ(refused(node.hello("cjt_wrong")).kind, ErrorKind::unauthenticated);
  // None of these used the token up.
  node.attach(token);
  EXPECT_EQ(node.heard<protocol::Welcome>().size(), 1u);
}

TEST_F(AdmissionTest, ANewConnectionReplacesTheOldOneOfTheSameNode) {
  node.attach(token);
  const auto old = node.link;
  node.attach("");
  executor.run();
  EXPECT_TRUE(links.closed.contains(old));
  EXPECT_FALSE(node.closed());
  EXPECT_EQ(core->nodes().nodes().size(), 1u);
}

TEST_F(AdmissionTest, AQuarantineHoldsThoughTheLedgerCannotWriteItYet) {
  node.attach(token);
  disk_is_full = true;
  submit(open());
  node.cuts_at = 5;
  node.run(node.heard<protocol::Assign>().at(0));  // a false end: proof enough
  executor.run();
  EXPECT_TRUE(node.closed());
  EXPECT_FALSE(quarantined(node));
  disk_is_full = false;
  EXPECT_EQ(refused(node.hello("")).kind, ErrorKind::forbidden);
  EXPECT_FALSE(quarantined(node));
  executor.advance(std::chrono::seconds(2));
  EXPECT_TRUE(quarantined(node));
  EXPECT_EQ(refused(node.hello("")).kind, ErrorKind::forbidden);
  // From here on the ledger alone decides.
  EXPECT_TRUE(ledger->pardon(node.id, executor.wall_now()));
  node.attach("");
  EXPECT_EQ(node.heard<protocol::Welcome>().size(), 1u);
}

TEST_F(AdmissionTest, ASilentNodeIsLetGo) {
  node.attach(token);
  executor.advance(std::chrono::seconds(14));
  EXPECT_FALSE(node.closed());
  node.say(protocol::Heartbeat{0});
  executor.advance(std::chrono::seconds(14));
  EXPECT_FALSE(node.closed());
  executor.advance(std::chrono::seconds(2));
  EXPECT_TRUE(node.closed());
  EXPECT_EQ(core->nodes().nodes().size(), 0u);
}

}  // namespace
}  // namespace cortensor::router
