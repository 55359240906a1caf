// Claims: pages are handed out once, all or nothing, and come back for use again.
#include "engine/kv_pages.h"

#include <gtest/gtest.h>

#include <set>

namespace cortensor::engine {
namespace {

TEST(KvPages, CountsWholePages) {
  EXPECT_EQ(pages_for(0), 0u);
  EXPECT_EQ(pages_for(1), 1u);
  EXPECT_EQ(pages_for(64), 1u);
  EXPECT_EQ(pages_for(65), 2u);
}

TEST(PageAllocator, HandsOutEachPageOnceAndAllOrNothing) {
  PageAllocator allocator(5);
  const auto first = allocator.allocate(2);
  const auto second = allocator.allocate(3);
  ASSERT_TRUE(first && second);
  std::set<PageId> seen(first->begin(), first->end());
  seen.insert(second->begin(), second->end());
  EXPECT_EQ(seen.size(), 5u);
  EXPECT_FALSE(allocator.allocate(1));
  allocator.release(*first);
  EXPECT_EQ(allocator.free(), 2u);
  EXPECT_FALSE(allocator.allocate(3));
  EXPECT_EQ(allocator.free(), 2u);
  EXPECT_TRUE(allocator.allocate(2));
}

TEST(PageAllocatorDeathTest, StopsTheProgramWhenAPageComesBackTwice) {
  PageAllocator allocator(2);
  const auto pages = allocator.allocate(1);
  allocator.release(*pages);
  EXPECT_DEATH(allocator.release(*pages), "invariant broken");
}

}  // namespace
}  // namespace cortensor::engine
