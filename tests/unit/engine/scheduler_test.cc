// Claims: rows are shared like water: the budget is used up when there is work for it, decodes go first,
// prompts share evenly, and everyone is served while the budget allows.
#include "engine/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

namespace cortensor::engine {
namespace {

using Rows = std::vector<std::size_t>;

TEST(ShareRows, ServesDecodesFirstAndSplitsTheRestEvenly) {
  EXPECT_EQ(share_rows(Rows{1000, 1, 1000, 1}, 256), (Rows{127, 1, 127, 1}));
  EXPECT_EQ(share_rows(Rows{1000}, 256), (Rows{256}));
  EXPECT_EQ(share_rows(Rows{10, 1000}, 256), (Rows{10, 246}));
  EXPECT_EQ(share_rows(Rows{3, 5}, 256), (Rows{3, 5}));
  EXPECT_EQ(share_rows(Rows{}, 256), (Rows{}));
}

TEST(ShareRows, GivesOddRowsToTheEarliest) {
  EXPECT_EQ(share_rows(Rows{9, 9, 9}, 8), (Rows{3, 3, 2}));
  EXPECT_EQ(share_rows(Rows{1, 1, 1}, 2), (Rows{1, 1, 0}));
  EXPECT_EQ(share_rows(Rows{1, 9}, 0), (Rows{0, 0}));
}

TEST(ShareRows, KeepsItsPromisesOnRandomQueues) {
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    Rows pending(random() % 9);
    for (auto& rows : pending) rows = random() % 3 == 0 ? 1 : 1 + random() % 300;
    const std::size_t budget = random() % 300;
    const Rows rows = share_rows(pending, budget);
    ASSERT_EQ(rows.size(), pending.size());
    const auto sum = [](const Rows& all) { return std::accumulate(all.begin(), all.end(), std::size_t{0}); };
    EXPECT_EQ(sum(rows), std::min(budget, sum(pending)));  // no row is wasted
    for (std::size_t i = 0; i < rows.size(); ++i) {
      EXPECT_LE(rows[i], pending[i]);
      if (budget >= rows.size()) {
        EXPECT_GE(rows[i], 1u);
      }
      for (std::size_t j = 0; j < rows.size();
           ++j)  // whoever goes short has no less than anyone else, to a row
        if (rows[i] < pending[i]) {
          EXPECT_GE(rows[i] + 1, rows[j]);
        }
    }
  }
}

}  // namespace
}  // namespace cortensor::engine
