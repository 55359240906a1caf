// Claims: a miner's word counts until its answers tell, for little soon after, and failures are remembered.
#include "router/core/miner_record.h"

#include <gtest/gtest.h>

#include <limits>

namespace cortensor::router {
namespace {

using std::chrono::minutes;

constexpr Clock::time_point kNow{std::chrono::hours(1)};

protocol::ModelOffer offer(double decode, std::vector<double> batches = {}) {
  protocol::ModelOffer offer;
  offer.prefill_tokens_per_second = 100;
  offer.decode_tokens_per_second = decode;
  offer.batch_tokens_per_second = std::move(batches);
  return offer;
}

TEST(MinerRecord, ExpectsWhatWasClaimed) {
  const MinerRecord record(offer(10, {16, 24}));
  EXPECT_DOUBLE_EQ(record.token(1), 1 / 10.0);
  EXPECT_DOUBLE_EQ(record.token(2), 2 / 16.0);
  EXPECT_DOUBLE_EQ(record.token(4), 4 / 24.0);
  EXPECT_GT(record.token(3), record.token(2));
  EXPECT_LT(record.token(3), record.token(4));
  EXPECT_NEAR(record.token(8), 8 / 24.0, 1e-12);  // beyond the last claim the speed is shared
  EXPECT_NEAR(record.first_token(1000) - record.first_token(0), 10, 1e-9);
  EXPECT_DOUBLE_EQ(record.decode_tokens_per_second(), 10);
}

TEST(MinerRecord, AnswersAreNotFasterInCompany) {
  const MinerRecord record(offer(10, {1000}));
  EXPECT_DOUBLE_EQ(record.token(2), record.token(1));
}

TEST(MinerRecord, SpeedsThatCannotBeAreNotBelieved) {
  for (const double claim :
       {0.0, -1.0, std::numeric_limits<double>::denorm_min(), std::numeric_limits<double>::quiet_NaN(),
        std::numeric_limits<double>::infinity()}) {
    MinerRecord record(offer(claim));
    record.saw_tokens(4, 1, kNow);
    EXPECT_GE(record.token(1), 1) << claim;
    EXPECT_LE(record.token(64), 1e6) << claim;
  }
  EXPECT_DOUBLE_EQ(MinerRecord(offer(1e9)).token(1), 1e-4);
}

TEST(MinerRecord, ABoastIsForgottenAfterOneAnswer) {
  MinerRecord boaster(offer(10'000));
  boaster.saw_tokens(1, 0.1, kNow);  // 10 tokens a second
  EXPECT_GT(boaster.token(1), 0.03);
  for (int i = 0; i < 20; ++i) boaster.saw_tokens(1, 0.1, kNow);
  EXPECT_NEAR(boaster.token(1), 0.1, 0.001);
}

TEST(MinerRecord, WhatWasSeenInCompanyTellsOfAnswersAlone) {
  MinerRecord record(offer(10, {16}));
  for (int i = 0; i < 30; ++i) record.saw_tokens(2, 2 * 2 / 16.0, kNow);  // half the speed claimed
  EXPECT_NEAR(record.token(1), 0.2, 0.001);
}

TEST(MinerRecord, LongPromptsTellTheSpeedShortOnesTheWay) {
  MinerRecord record(offer(10));
  for (int i = 0; i < 30; ++i) record.saw_first_token(2, 0.32, kNow);
  EXPECT_NEAR(record.first_token(0), 0.3, 0.001);
  for (int i = 0; i < 30; ++i) record.saw_first_token(1000, 5.3, kNow);
  EXPECT_NEAR(record.first_token(1000), 5.3, 0.01);
  EXPECT_NEAR(record.prefill_tokens_per_second(), 200, 1);
}

TEST(MinerRecord, TheLaterCountsForMoreAfterAPause) {
  RecentAverage at_once(1), after_long(1);
  at_once.add(1, kNow);
  after_long.add(1, kNow);
  at_once.add(2, kNow);
  after_long.add(2, kNow + minutes(60));
  EXPECT_NEAR(at_once.value(), 1.3, 1e-9);
  EXPECT_GT(after_long.value(), 1.98);
  at_once.add(std::numeric_limits<double>::quiet_NaN(), kNow);
  at_once.add(-1, kNow);
  EXPECT_NEAR(at_once.value(), 1.3, 1e-9);
}

TEST(MinerRecord, FailuresHalveReliabilityAndFadeSlowly) {
  MinerRecord record(offer(10));
  EXPECT_EQ(record.reliability(kNow), 1);
  record.failed(kNow);
  EXPECT_DOUBLE_EQ(record.reliability(kNow), 0.5);
  record.failed(kNow);
  EXPECT_DOUBLE_EQ(record.reliability(kNow), 0.25);
  EXPECT_DOUBLE_EQ(record.reliability(kNow + minutes(10)), 0.625);
  record.succeeded(kNow);
  EXPECT_NEAR(record.reliability(kNow), 1 - 0.7 * 0.75, 1e-12);
}

TEST(MinerRecord, ANewClaimRaisesNeitherReliabilityNorWhatIsExpectedOfTheWay) {
  MinerRecord record(offer(10));
  record.failed(kNow);
  record.claim(offer(20));
  EXPECT_DOUBLE_EQ(record.reliability(kNow), 0.5);
  EXPECT_DOUBLE_EQ(record.token(1), 0.05);
}

TEST(MinerRecord, ProbationEndsAfterAFewSignedAnswers) {
  MinerRecord record(offer(10));
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(record.on_probation());
    record.succeeded(kNow);
  }
  EXPECT_FALSE(record.on_probation());
}

}  // namespace
}  // namespace cortensor::router
