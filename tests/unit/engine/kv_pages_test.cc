// Claims: pages are handed out once, all or nothing, and come back for use again; a page with a key is found
// by it while it lasts, by any number of users; those let go longest ago make way first, and a chain from its
// end.
#include "engine/kv_pages.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

namespace cortensor::engine {
namespace {

using Pages = std::vector<PageId>;

PageKey key(std::uint8_t name) {
  PageKey key{};
  key[5] = name;
  return key;
}

std::vector<PageKey> keys(std::initializer_list<std::uint8_t> names) {
  std::vector<PageKey> all;
  for (const std::uint8_t name : names) all.push_back(key(name));
  return all;
}

// A sequence of so many pages that names the first ones and ends.
Pages leave(PagePool& pool, std::size_t count, const std::vector<PageKey>& names) {
  const auto grant = pool.acquire(count, names);
  for (std::size_t i = 0; i < names.size(); ++i) pool.publish(grant->pages[i], names[i]);
  pool.release(grant->pages);
  return grant->pages;
}

TEST(KvPages, CountsWholePages) {
  EXPECT_EQ(pages_for(0), 0u);
  EXPECT_EQ(pages_for(1), 1u);
  EXPECT_EQ(pages_for(64), 1u);
  EXPECT_EQ(pages_for(65), 2u);
}

TEST(PagePool, HandsOutEachPageOnceAndAllOrNothing) {
  PagePool pool(5);
  const auto first = pool.acquire(2);
  const auto second = pool.acquire(3);
  ASSERT_TRUE(first && second);
  std::set<PageId> seen(first->pages.begin(), first->pages.end());
  seen.insert(second->pages.begin(), second->pages.end());
  EXPECT_EQ(seen.size(), 5u);
  EXPECT_FALSE(pool.acquire(1));
  pool.release(first->pages);
  EXPECT_EQ(pool.free(), 2u);
  EXPECT_FALSE(pool.acquire(3));
  EXPECT_EQ(pool.free(), 2u);
  EXPECT_TRUE(pool.acquire(2));
}

TEST(PagePool, FindsTheLongestChainWithoutAGap) {
  PagePool pool(8);
  const Pages left = leave(pool, 4, keys({1, 2, 3}));
  EXPECT_EQ(pool.free(), 8u);
  EXPECT_EQ(pool.kept(), 3u);
  for (const auto& [wanted, found] : std::map<std::vector<PageKey>, std::size_t>{{keys({1, 2, 3, 4}), 3},
                                                                                 {keys({1, 2, 9}), 2},
                                                                                 {keys({9, 2, 3}), 0},
                                                                                 {keys({1, 9, 3}), 1},
                                                                                 {{}, 0}}) {
    const auto grant = pool.acquire(5, wanted);
    ASSERT_TRUE(grant);
    EXPECT_EQ(grant->found, found);
    ASSERT_EQ(grant->pages.size(), 5u);
    EXPECT_TRUE(
        std::equal(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(found), grant->pages.begin()));
    EXPECT_EQ(std::set<PageId>(grant->pages.begin(), grant->pages.end()).size(), 5u);
    pool.release(grant->pages);
  }
}

TEST(PagePool, SharesAPageAmongRunningSequences) {
  PagePool pool(4);
  const auto first = pool.acquire(2);
  pool.publish(first->pages[0], key(1));
  const auto second = pool.acquire(2, keys({1}));
  const auto third = pool.acquire(2, keys({1}));
  ASSERT_TRUE(second && third);  // four pages for three sequences of two
  EXPECT_EQ(second->pages[0], first->pages[0]);
  EXPECT_EQ(pool.free(), 0u);
  pool.release(first->pages);
  pool.release(second->pages);
  EXPECT_EQ(pool.free(), 2u);
  EXPECT_EQ(pool.kept(), 0u);  // still in use
  pool.release(third->pages);
  EXPECT_EQ(pool.free(), 4u);
  EXPECT_EQ(pool.kept(), 1u);
}

TEST(PagePool, WhatIsFoundDoesNotMakeRoomForTheRest) {
  PagePool pool(4);
  leave(pool, 3, keys({1, 2, 3}));
  const auto other = pool.acquire(1);
  EXPECT_FALSE(pool.acquire(4, keys({1, 2, 3})));  // three are found, and there is no fourth
  EXPECT_EQ(pool.kept(), 3u);
  pool.release(other->pages);
  const auto grant = pool.acquire(4, keys({1, 2, 3}));
  ASSERT_TRUE(grant);
  EXPECT_EQ(grant->found, 3u);
}

TEST(PagePool, TheLongestUnusedMakesWayFirstAndAChainFromItsEnd) {
  PagePool pool(6);
  leave(pool, 2, keys({1, 2}));
  leave(pool, 2, keys({3, 4}));
  leave(pool, 2, keys({5, 6}));
  pool.release(pool.acquire(2, keys({1, 2}))->pages);  // now 3 and 4 have waited longest
  const auto found = [&](const std::vector<PageKey>& wanted) {
    const auto grant = pool.acquire(wanted.size(), wanted);
    pool.release(grant->pages);
    return grant->found;
  };
  const auto one = pool.acquire(1);
  EXPECT_EQ(found(keys({3, 4})), 1u);  // 4 went, and then, for the second page asked for here, 6
  EXPECT_EQ(pool.kept(), 4u);
  EXPECT_EQ(found(keys({5, 6})), 1u);
  EXPECT_EQ(found(keys({1, 2})), 2u);
  pool.release(one->pages);
}

TEST(PagePool, OfTwoEqualPagesTheFirstIsKept) {
  PagePool pool(4);
  const auto first = pool.acquire(1), second = pool.acquire(1);
  pool.publish(first->pages[0], key(1));
  pool.publish(second->pages[0], key(1));
  pool.release(first->pages);
  pool.release(second->pages);
  EXPECT_EQ(pool.kept(), 1u);
  EXPECT_EQ(pool.acquire(1, keys({1}))->pages, first->pages);
}

// Against a plain model: who has which pages, and what each of them holds.
TEST(PagePool, NeverGivesAwayAPageInUseNorFindsAWrongOne) {
  std::mt19937 random(7);
  PagePool pool(24);
  std::vector<Pages> running;
  std::map<PageId, PageKey> holds;
  std::size_t found_in_all = 0;
  for (int round = 0; round < 20000; ++round) {
    if (random() % 2 == 0 && !running.empty()) {
      const std::size_t which = random() % running.size();
      pool.release(running[which]);
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(which));
      continue;
    }
    const std::size_t count = 1 + random() % 8;
    std::vector<PageKey> wanted(count - random() % 2);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      if (i > 0) wanted[i] = wanted[i - 1];
      wanted[i][i] = static_cast<std::uint8_t>(1 + random() % 2);
    }
    const std::size_t before = pool.free();
    const auto grant = pool.acquire(count, wanted);
    if (!grant) {
      EXPECT_GT(count, before);
      continue;
    }
    found_in_all += grant->found;
    for (std::size_t i = 0; i < count; ++i) {
      if (i < grant->found) {
        EXPECT_EQ(holds.at(grant->pages[i]), wanted[i]);
        continue;
      }
      for (const Pages& other : running)
        EXPECT_EQ(std::count(other.begin(), other.end(), grant->pages[i]), 0);
      holds[grant->pages[i]] = i < wanted.size() ? wanted[i] : PageKey{};  // overwritten
    }
    for (std::size_t i = grant->found; i < wanted.size(); ++i) pool.publish(grant->pages[i], wanted[i]);
    running.push_back(grant->pages);
  }
  for (const Pages& pages : running) pool.release(pages);
  EXPECT_EQ(pool.free(), pool.total());
  EXPECT_GT(found_in_all, 1000u);
}

TEST(PagePoolDeathTest, StopsTheProgramWhenAPageComesBackTwice) {
  PagePool pool(2);
  const auto grant = pool.acquire(1);
  pool.release(grant->pages);
  EXPECT_DEATH(pool.release(grant->pages), "invariant broken");
}

}  // namespace
}  // namespace cortensor::engine
