// Claims: a node dials on while that can help and stops when it cannot.
#include "protocol/attachment.h"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "../support/manual_executor.h"

namespace cortensor::protocol {
namespace {

struct Link final : NodeLink {
  void send(NodeMessage message) override { sent.push_back(std::move(message)); }
  void stop() override { stopped = true; }
  std::vector<NodeMessage> sent;
  bool stopped = false;
};

struct Idle final : NodeWork {
  void on_work(Attachment&, RouterMessage) override {}
  void on_detached(Attachment&) override {}
  Heartbeat load(const Attachment&) const override { return now; }
  Heartbeat now;
};

class AttachmentTest : public ::testing::Test {
 protected:
  AttachmentTest() { attachment.bind(link); }

  ManualExecutor executor;
  Idle work;
  Link link;
  std::optional<Error> refused;
  int lost = 0;
  Attachment attachment{executor, Hello{}, work,
                        Attachment::Events{.attached = {},
                                           .lost = [this](const Error&) { ++lost; },
                                           .refused_for_good = [this](const Error& why) { refused = why; }}};
};

TEST_F(AttachmentTest, AHelloThatTheRouterCannotReadIsNotRepeated) {
  attachment.on_connected();
  attachment.on_disconnected(fail(ErrorKind::invalid_input, "hello.isa: too long"));
  EXPECT_TRUE(link.stopped);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->message, "hello.isa: too long");
}

TEST_F(AttachmentTest, OnceWelcomeItDialsAgainWhateverEndedTheLink) {
  attachment.on_connected();
  attachment.on_message(Welcome{NodeId(std::string(64, 'a')), 1000});
  attachment.on_disconnected(fail(ErrorKind::invalid_input, "steps.first"));
  EXPECT_FALSE(link.stopped || refused);
  EXPECT_EQ(lost, 1);
}

TEST_F(AttachmentTest, OtherLossesBeforeTheWelcomeMayPass) {
  for (const ErrorKind kind : {ErrorKind::unavailable, ErrorKind::timed_out, ErrorKind::overloaded,
                               ErrorKind::unauthenticated, ErrorKind::internal}) {
    attachment.on_connected();
    attachment.on_disconnected(fail(kind, ""));
    EXPECT_FALSE(link.stopped || refused);
  }
}

TEST_F(AttachmentTest, ARefusalDecidesByItsKind) {
  attachment.on_connected();
  attachment.on_message(Refusal{ErrorKind::overloaded, "full"});
  EXPECT_FALSE(link.stopped || refused);
  attachment.on_message(Refusal{ErrorKind::forbidden, "quarantined"});
  EXPECT_TRUE(link.stopped);
  EXPECT_EQ(refused->message, "quarantined");
}

}  // namespace
}  // namespace cortensor::protocol
