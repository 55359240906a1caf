// Claims: an answer goes where its first and last token are expected soonest, given load, cache and failures;
// near-equal miners share work, prefixes have homes, and every decision can be explained.
#include "router/core/allocator.h"

#include <gmock/gmock.h>

#include <map>

#include "../support/manual_executor.h"

namespace cortensor::router {
namespace {

using ::testing::HasSubstr;

constexpr Digest kModel{1};

class AllocatorTest : public ::testing::Test {
 protected:
  AttachedNode& add(const std::string& id, double decode, std::uint32_t slots = 4) {
    protocol::ModelOffer offer;
    offer.prefill_tokens_per_second = 10 * decode;
    offer.decode_tokens_per_second = decode;
    AttachedNode node;
    node.link = ++last_link_;
    node.id = NodeId(id);
    node.slots = slots;
    node.models.emplace_back().weights = kModel;
    return nodes.add(std::move(node), {&offer, 1});
  }
  // A miner that is known: no longer on probation.
  AttachedNode& add_known(const std::string& id, double decode, std::uint32_t slots = 4) {
    AttachedNode& node = add(id, decode, slots);
    for (int i = 0; i < 8; ++i) node.models[0].record->succeeded(executor.now());
    return node;
  }
  std::string choose(const Work& work) {
    decision = {};
    const AttachedNode* node = allocator.choose(work, decision);
    if (node == nullptr) return "nobody";
    EXPECT_EQ(node->id, decision.chosen);
    return node->id.value;
  }
  Work work(std::size_t prompt = 10, std::size_t answer = 100, std::uint64_t draw = 1) const {
    Work work;
    work.weights = kModel;
    work.prompt_tokens = prompt;
    work.answer_tokens = answer;
    work.draw = draw;
    return work;
  }
  std::map<std::string, int> choices(Work work, int times) {
    std::map<std::string, int> counts;
    for (int i = 0; i < times; ++i) {
      work.draw = static_cast<std::uint64_t>(i);
      ++counts[choose(work)];
    }
    return counts;
  }

  ManualExecutor executor;
  NodeTable nodes{executor};
  Allocator allocator{nodes, executor};
  Decision decision;

 private:
  protocol::LinkId last_link_ = 0;
};

TEST_F(AllocatorTest, TheFasterMinerUntilItIsBusy) {
  AttachedNode& fast = add_known("fast", 100);
  add_known("slow", 60);
  EXPECT_EQ(choose(work()), "fast");
  nodes.engage(fast, kModel, 10, 0, 110);  // without claims for two they would share its speed
  EXPECT_EQ(choose(work()), "slow");
}

TEST_F(AllocatorTest, PromptsThatAMinerHasYetToComputeCount) {
  AttachedNode& one = add_known("one", 100);
  add_known("two", 90);
  EXPECT_EQ(choose(work(10, 10)), "one");
  Engagement long_prompt = nodes.engage(one, kModel, 100'000, 0, 100'001);
  one.busy = 0;
  EXPECT_EQ(choose(work(10, 10)), "two");
  nodes.prompt_computed(long_prompt);
  EXPECT_EQ(choose(work(10, 10)), "one");
}

TEST_F(AllocatorTest, ThePromptInTheCacheWinsOverALittleSpeed) {
  const std::vector<TokenId> prompt(640, 7);
  const PrefixKeys keys = prefix_keys({}, prompt);
  ASSERT_EQ(keys.size(), 10u);
  add_known("fast", 110);
  const AttachedNode& warm = add_known("warm", 100);
  Work chat = work(prompt.size(), 10);
  chat.prefix = keys;
  EXPECT_EQ(choose(chat), "fast");
  allocator.prefixes().note(warm.link, keys);
  EXPECT_EQ(choose(chat), "warm");
  EXPECT_EQ(decision.candidates[0].cached_tokens, 639u);  // the last position is always computed
  // A miner that turned out not to keep what it had is not thought to have it again.
  for (int i = 0; i < 20; ++i) warm.models[0].record->saw_cached(0, executor.now());
  EXPECT_EQ(choose(chat), "fast");
}

TEST_F(AllocatorTest, FailuresWeighFourfold) {
  AttachedNode& fast = add_known("fast", 100);
  add_known("slow", 30);
  EXPECT_EQ(choose(work()), "fast");
  fast.models[0].record->failed(executor.now());
  EXPECT_EQ(choose(work()), "slow");
}

TEST_F(AllocatorTest, TheRecordOutlivesTheLink) {
  AttachedNode& fast = add_known("fast", 100);
  add_known("slow", 30);
  nodes.engage(fast, kModel, 10, 0, 110);
  nodes.remove(fast.link);  // with work under way
  add("fast", 200);
  EXPECT_EQ(choose(work()), "slow");
}

TEST_F(AllocatorTest, NearEqualsShareAndNobodyElse) {
  for (const char* id : {"a", "b", "c", "d"}) add_known(id, 100);
  add_known("slow", 50);
  const auto counts = choices(work(), 1000);
  EXPECT_FALSE(counts.contains("slow"));
  for (const char* id : {"a", "b", "c", "d"}) EXPECT_GT(counts.at(id), 50) << id;
}

TEST_F(AllocatorTest, APrefixHasOneHomeThatStaysWhenOthersCome) {
  const std::vector<TokenId> prompt(128, 7);
  for (const char* id : {"a", "b", "c", "d"}) add_known(id, 100);
  std::map<std::string, int> homes;
  int moved = 0;
  std::vector<std::string> before;
  const auto home = [&](std::uint8_t account) {
    const PrefixKeys keys = prefix_keys({account}, prompt);
    Work chat = work(prompt.size());
    chat.prefix = keys;
    const auto counts = choices(chat, 8);
    EXPECT_EQ(counts.size(), 1u);
    return counts.begin()->first;
  };
  for (std::uint8_t account = 0; account < 64; ++account) ++homes[before.emplace_back(home(account))];
  EXPECT_EQ(homes.size(), 4u);  // accounts are spread
  add_known("e", 100);
  for (std::uint8_t account = 0; account < 64; ++account)
    if (const std::string now = home(account); now != before[account]) {
      EXPECT_EQ(now, "e");
      ++moved;
    }
  EXPECT_LT(moved, 32);
}

TEST_F(AllocatorTest, WhoIsNewIsTriedNowAndThen) {
  add_known("known", 100);
  add("new", 20);
  const auto counts = choices(work(), 1000);
  EXPECT_GT(counts.at("new"), 20);
  EXPECT_LT(counts.at("new"), 200);
}

TEST_F(AllocatorTest, EveryExclusionHasItsReason) {
  add("full", 100, 1).busy = 1;
  add("out", 100).quarantined = true;
  AttachedNode& small = add("small", 100);
  small.models[0].kv_positions = 128;
  add("failed", 100);
  const std::set<NodeId> except{NodeId("failed")};
  Work big = work(60, 69);
  big.except = &except;
  EXPECT_EQ(choose(big), "nobody");
  std::map<std::string, std::string> reasons;
  for (const Exclusion& one : decision.excluded) reasons[one.miner.value] = one.reason;
  EXPECT_THAT(reasons["full"], HasSubstr("slot"));
  EXPECT_THAT(reasons["out"], HasSubstr("quarantined"));
  EXPECT_THAT(reasons["small"], HasSubstr("too little cache memory"));
  EXPECT_THAT(reasons["failed"], HasSubstr("tried"));
  EXPECT_EQ(decision.able, 0u);
  big.answer_tokens = 40;
  EXPECT_EQ(choose(big), "small");
  nodes.engage(small, kModel, 60, 0, 1);
  EXPECT_EQ(choose(big), "nobody");
  EXPECT_EQ(decision.excluded[2].reason, "no free cache memory");
}

TEST_F(AllocatorTest, WhatTheSessionAsksForIsKeptTo) {
  AttachedNode& fast = add_known("fast", 100);
  add_known("slow", 20);
  ledger::ServiceLevel service;
  Work asked = work();
  asked.service = &service;
  service.miners = {NodeId("slow")};
  EXPECT_EQ(choose(asked), "slow");
  service = {50, 0, 0, {}};
  EXPECT_EQ(choose(asked), "fast");
  EXPECT_THAT(decision.excluded.at(0).reason, HasSubstr("slower than asked"));
  nodes.engage(fast, kModel, 10, 0, 110);
  nodes.engage(fast, kModel, 10, 0, 110);
  EXPECT_EQ(choose(asked), "nobody");  // now; when it is idle again it will do
  EXPECT_EQ(allocator.able(asked), 1u);
  service = {200, 0, 0, {}};
  EXPECT_EQ(allocator.able(asked), 0u);
  service = {0, 50, 0, {}};
  EXPECT_EQ(allocator.able(asked), 1u);  // 10 tokens take the slow one 50 ms, and the way there
  service = {0, 0, 900'000, {}};
  EXPECT_EQ(allocator.able(asked), 2u);
  fast.models[0].record->failed(executor.now());
  EXPECT_EQ(allocator.able(asked), 1u);
}

TEST_F(AllocatorTest, TheDecisionListsTheBestFirstAndAFew) {
  for (int i = 0; i < 100; ++i) add_known("m" + std::to_string(i), 10 + i);
  EXPECT_NE(choose(work()), "nobody");
  EXPECT_EQ(decision.able, 100u);
  EXPECT_EQ(decision.candidates.size(), Decision::kListed);
  EXPECT_EQ(decision.candidates[0].miner.value, "m99");
  EXPECT_LT(decision.candidates[0].cost, decision.candidates[15].cost);
}

TEST_F(AllocatorTest, WhatOtherRoutersHaveOfAMinerIsNotFree) {
  AttachedNode& miner = add("a", 100, 4);
  miner.models[0].kv_positions = 1024;
  EXPECT_EQ(choose(work()), "a");
  EXPECT_FALSE(nodes.heard(miner, {3, 3, 1, {}}));
  EXPECT_EQ(choose(work()), "nobody");
  EXPECT_EQ(nodes.free_slots(kModel), 0u);
  EXPECT_TRUE(nodes.heard(miner, {3, 3, 0, {}}));
  EXPECT_EQ(choose(work()), "a");
  EXPECT_FALSE(nodes.heard(miner, {3, 3, 0, {960}}));  // of 1,024 positions; 128 are needed
  EXPECT_EQ(choose(work()), "nobody");
  EXPECT_TRUE(nodes.heard(miner, {3, 3, 0, {896}}));
  EXPECT_EQ(choose(work()), "a");
  nodes.heard(miner, {0xffffffff, 0xffffffff, 0xffffffff, {0xffffffff, 7}});
  EXPECT_EQ(choose(work()), "nobody");
}

TEST(PrefixIndex, HoldsAsFarAsTheChainGoes) {
  PrefixIndex index;
  const std::vector<TokenId> prompt(256, 1);
  std::vector<TokenId> other = prompt;
  other[130] = 2;
  const PrefixKeys keys = prefix_keys({}, prompt), branch = prefix_keys({}, other);
  EXPECT_TRUE(prefix_keys({}, std::vector<TokenId>(63, 1)).empty());
  EXPECT_NE(prefix_keys({9}, prompt)[0], keys[0]);
  index.note(1, keys);
  index.note(2, std::span(keys).first(2));
  const auto held = index.held(branch);
  EXPECT_EQ(held.at(1), 2u);
  EXPECT_EQ(held.at(2), 2u);
  EXPECT_EQ(index.held(keys).at(1), 4u);
  EXPECT_TRUE(index.held(prefix_keys({9}, prompt)).empty());
}

TEST(PrefixIndex, ForgetsTheLongestUnused) {
  PrefixIndex index(4);
  const auto keys = [](std::uint8_t salt) { return prefix_keys({salt}, std::vector<TokenId>(128, 1)); };
  index.note(1, keys(1));
  index.note(1, keys(2));
  index.note(1, keys(1));
  index.note(1, keys(3));
  EXPECT_EQ(index.size(), 4u);
  EXPECT_EQ(index.held(keys(1)).size(), 1u);
  EXPECT_TRUE(index.held(keys(2)).empty());
}

TEST_F(AllocatorTest, ADedicatedMinerWorksForItsAccountsAlone) {
  add_known("dedicated", 100).only_for = {AccountId("acct_1"), AccountId("acct_2")};
  const AccountId mine("acct_2"), other("acct_3");
  Work asked = work();
  asked.account = &other;
  EXPECT_EQ(choose(asked), "nobody");
  ASSERT_EQ(decision.excluded.size(), 1u);
  EXPECT_EQ(decision.excluded[0].reason, "works for other accounts only");
  EXPECT_EQ(allocator.able(asked), 0u);
  asked.account = &mine;
  EXPECT_EQ(choose(asked), "dedicated");
  add_known("anybody's", 10);
  EXPECT_EQ(choose(asked), "dedicated");
  asked.account = &other;
  EXPECT_EQ(choose(asked), "anybody's");
}

}  // namespace
}  // namespace cortensor::router
