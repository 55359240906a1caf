// Claims: a router alone has all of a node; with others each hears what these have and what is kept for them,
// and who has taken more than its share gives way to one that asks.
#include "protocol/sharing.h"

#include <gtest/gtest.h>

#include <vector>

#include "../support/manual_executor.h"

namespace cortensor::protocol {
namespace {

constexpr std::uint32_t kSlots = 8;

struct Link final : NodeLink {
  void send(NodeMessage message) override {
    if (const auto* beat = std::get_if<Heartbeat>(&message)) beats.push_back(*beat);
  }
  void stop() override {}
  std::vector<Heartbeat> beats;
};

class SharingTest : public ::testing::Test, public NodeWork {
 protected:
  SharingTest() {
    for (Router* router : {&one, &other}) {
      sharing.add(router->attachment);
      router->attachment.bind(router->link);
      router->attachment.on_connected();
      router->attachment.on_message(Welcome{NodeId(std::string(64, 'a')), 60'000});
    }
  }
  void on_work(Attachment&, RouterMessage) override {}
  void on_detached(Attachment&) override {}
  Heartbeat load(const Attachment& router) const override { return sharing.load(router, all); }

  struct Router {
    explicit Router(SharingTest& test) : attachment(test.executor, Hello{}, test, {}) {}
    Link link;
    Attachment attachment;
  };
  // As long as there is room; yields how many it got.
  int take(Router& router, int wanted) {
    int got = 0;
    sharing.asked(router.attachment);
    for (; got < wanted && sharing.has_room(router.attachment, all); ++got)
      all.push_back({&router.attachment, 1, 64});
    sharing.changed();
    executor.run();
    return got;
  }
  void give_back(Router& router, int count) {
    for (auto at = all.begin(); at != all.end() && count > 0;)
      at = at->router == &router.attachment ? (--count, all.erase(at)) : at + 1;
    sharing.changed();
    executor.run();
  }
  // Slots that the router thinks are free.
  static std::uint32_t free_for(const Router& router, std::uint32_t own) {
    const Heartbeat& beat = router.link.beats.back();
    return kSlots - own - beat.elsewhere_slots - beat.kept_slots;
  }

  ManualExecutor executor;
  Sharing sharing{executor, kSlots};
  std::vector<Occupied> all;
  Router one{*this}, other{*this};
};

TEST_F(SharingTest, WhatOneTakesTheOtherHearsOfAtOnce) {
  EXPECT_EQ(take(one, 3), 3);
  const Heartbeat& beat = other.link.beats.back();
  EXPECT_EQ(beat.busy_slots, 3u);
  EXPECT_EQ(beat.elsewhere_slots, 3u);
  EXPECT_EQ(beat.elsewhere_positions, (std::vector<std::uint32_t>{0, 192}));
  EXPECT_EQ(one.link.beats.size(), 1u);  // for it nothing has changed
  give_back(one, 3);
  EXPECT_EQ(other.link.beats.back().elsewhere_slots, 0u);
  EXPECT_TRUE(other.link.beats.back().elsewhere_positions.empty());
}

TEST_F(SharingTest, WhoIsAloneHasEverything) {
  EXPECT_EQ(take(one, 20), 20);  // the engine has the last word
  all.clear();
  executor.advance(std::chrono::seconds(20));
  other.attachment.on_disconnected(fail(ErrorKind::unavailable, "lost"));
  sharing.asked(other.attachment);
  EXPECT_EQ(take(one, 8), 8);  // nothing is kept for who is not there
}

TEST_F(SharingTest, OverItsShareOneGivesWayToWhoAsks) {
  EXPECT_EQ(take(one, 8), 8);
  EXPECT_EQ(free_for(other, 0), 0u);
  EXPECT_EQ(take(other, 1), 0);  // refused, but heard
  give_back(one, 1);
  EXPECT_EQ(free_for(one, 7), 0u);
  EXPECT_EQ(take(one, 1), 0);
  EXPECT_EQ(free_for(other, 0), 1u);
  EXPECT_EQ(take(other, 2), 1);
  give_back(one, 3);
  EXPECT_EQ(take(one, 4), 0);
  EXPECT_EQ(take(other, 4), 3);
  give_back(one, 2);  // it has 2, the other 4: from now on it is under its share
  EXPECT_EQ(free_for(one, 2), 2u);
  EXPECT_EQ(take(other, 4), 0);
  EXPECT_EQ(take(one, 4), 2);
}

TEST_F(SharingTest, AShareIsKeptForAWhileOnly) {
  EXPECT_EQ(take(other, 1), 1);
  give_back(other, 1);
  EXPECT_EQ(take(one, 8), 4);
  EXPECT_EQ(one.link.beats.back().kept_slots, 4u);
  executor.advance(std::chrono::seconds(11));
  EXPECT_EQ(take(one, 4), 4);
}

}  // namespace
}  // namespace cortensor::protocol
