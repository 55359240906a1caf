// Claims: a seed always does the same, byte for byte; every planted bug is found within a few seeds.
#include "simulation.h"

#include <gtest/gtest.h>

#include "base/log.h"

namespace cortensor::simulation {
namespace {

TEST(Simulation, RepeatsASeedByteForByte) {
  log::set_level(log::Level::off);
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    const Outcome first = simulate(seed), second = simulate(seed);
    EXPECT_EQ(first.hash, second.hash);
    EXPECT_EQ(first.violation, second.violation);
    EXPECT_NE(first.hash, simulate(seed + 1).hash);
  }
}

TEST(Simulation, NoticesWhatTheSeedDoesNotDecide) {
  EXPECT_NE(simulate(1, Fault::not_repeatable).hash, simulate(1, Fault::not_repeatable).hash);
}

class Planted : public testing::TestWithParam<Fault> {};

TEST_P(Planted, IsFound) {
  log::set_level(log::Level::off);
  constexpr std::uint64_t kSeeds = 60;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const Outcome outcome = simulate(seed, GetParam());
    if (outcome.clean()) continue;
    std::printf("seed %d: %s\n", static_cast<int>(seed), outcome.violation.c_str());
    return;
  }
  FAIL() << "not found in " << kSeeds << " seeds";
}

INSTANTIATE_TEST_SUITE_P(Faults, Planted,
                         testing::Values(Fault::settled_twice, Fault::settlement_lost,
                                         Fault::settlement_unheard, Fault::paid_too_much,
                                         Fault::segment_stolen, Fault::invalid_paid, Fault::delta_twice,
                                         Fault::end_unheard, Fault::lies_accepted, Fault::truth_refused,
                                         Fault::clock_stands, Fault::syncs_ignored, Fault::steps_twice,
                                         Fault::last_words_lost),
                         [](const auto& one) { return std::string(to_string(one.param)); });

}  // namespace
}  // namespace cortensor::simulation
