// Claims: costs and shares are exact at every edge, add up, and what does not fit is refused, never wrapped.
#include "ledger/pricing.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

namespace cortensor::ledger {
namespace {

TEST(Pricing, RoundsEachPartOfACostUp) {
  EXPECT_EQ(*base_cost({{2'000'000}, {8'000'000}}, {100, 10}), Credits{280});
  EXPECT_EQ(*base_cost({{1}, {1}}, {0, 0}), Credits{0});
  EXPECT_EQ(*base_cost({{1}, {1}}, {1, 1}), Credits{2});
  EXPECT_EQ(*base_cost({{1}, {1}}, {1'000'000, 1'000'000}), Credits{2});
  EXPECT_EQ(*base_cost({{1}, {1}}, {1'000'001, 0}), Credits{2});
  EXPECT_EQ(*base_cost({{0}, {0}}, {UINT64_MAX, UINT64_MAX}), Credits{0});
}

TEST(Pricing, RefusesWhatDoesNotFit) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(*base_cost({{kMost}, {0}}, {1'000'000, 5}), Credits{kMost});
  EXPECT_FALSE(base_cost({{kMost}, {0}}, {1'000'001, 0}));
  EXPECT_FALSE(base_cost({{kMost}, {kMost}}, {UINT64_MAX, 0}));
  EXPECT_FALSE(base_cost({{kMost}, {1}}, {1'000'000, 1}));
  EXPECT_FALSE(base_cost({{-1}, {0}}, {0, 0}));
  EXPECT_FALSE(charge({{kMost}, {0}}, {1'000'000, 0}, {2, 0}));
  EXPECT_FALSE(charge({{kMost}, {0}}, {1'000'000, 0}, {1, 1}));
}

TEST(Pricing, SurchargeRoundsUpAndFeeRoundsDown) {
  const std::int64_t bases[] = {0, 1, 4, 5, 19, 20, 39}, surcharges[] = {0, 1, 1, 2, 5, 5, 10},
                     fees[] = {0, 0, 0, 0, 0, 1, 1};
  for (int i = 0; i < 7; ++i) {
    EXPECT_EQ(validation_surcharge({bases[i]}), Credits{surcharges[i]}) << bases[i];
    EXPECT_EQ(router_fee({bases[i]}), Credits{fees[i]}) << bases[i];
  }
}

TEST(Pricing, SharesAddUp) {
  const Charge three = *charge({{2'000'000}, {8'000'000}}, {7, 9}, {3, 2});  // base 86, fee 4, surcharge 22
  EXPECT_EQ(three, (Charge{{82}, {22}, {12}, {302}}));
  EXPECT_EQ(three.total.micro,
            3 * three.each_miner.micro + 2 * three.each_validator.micro + three.router.micro);
}

TEST(Credits, PrintAndParseEveryDigit) {
  for (const std::int64_t micro :
       {std::int64_t{0}, std::int64_t{1}, std::int64_t{-1}, std::int64_t{1'250'000},
        std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::min()})
    EXPECT_EQ(*parse_credits(to_string(Credits{micro})), Credits{micro});
  EXPECT_EQ(to_string(Credits{1'250'000}), "1.250000");
  EXPECT_EQ(to_string(Credits{-1}), "-0.000001");
  EXPECT_EQ(*parse_credits("12"), Credits{12'000'000});
  EXPECT_EQ(*parse_credits("0.5"), Credits{500'000});
  for (const char* bad :
       {"", "-", ".", "1.", ".5", "1.0000001", "1e3", " 1", "1 ", "+1", "1,5", "0x1", "1.2.3",
        "9223372036854.775808", "-9223372036854.775809", "99999999999999999999999"})
    EXPECT_FALSE(parse_credits(bad)) << bad;
}

TEST(Credits, AddAndMultiplyReportOverflow) {
  constexpr Credits kMost{std::numeric_limits<std::int64_t>::max()};
  EXPECT_EQ(*add({1}, {2}), Credits{3});
  EXPECT_FALSE(add(kMost, {1}));
  EXPECT_FALSE(multiply(kMost, 2));
  EXPECT_DEATH((void)(kMost + Credits{1}), "invariant");
}

}  // namespace
}  // namespace cortensor::ledger
