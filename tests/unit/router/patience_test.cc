// Claims: a long prompt on a slow node, and a long answer before a slow validator, get the time they need; a
// node that does nothing is given up all the same.
#include "router/core/patience.h"

#include <limits>

#include "world.h"

namespace cortensor::router {
namespace {

using std::chrono::seconds;

TEST(Patience, GrowsWithTheWorkBetweenItsBounds) {
  EXPECT_EQ(patience(100, 50, seconds(60)), seconds(60));
  EXPECT_EQ(patience(1'000, 50, seconds(60)), seconds(160));
  EXPECT_EQ(patience(4'000, 50, seconds(60)), seconds(640));
  EXPECT_EQ(patience(1'000, 0.001, seconds(60)), kMaxPatience);
  EXPECT_EQ(patience(1'000, 0, seconds(60)), seconds(60));
  EXPECT_EQ(patience(1'000, -1, seconds(60)), seconds(60));
  EXPECT_EQ(patience(1'000, std::numeric_limits<double>::quiet_NaN(), seconds(60)), seconds(60));
  EXPECT_EQ(patience(1'000, 1, std::chrono::hours(2)), std::chrono::hours(2));
}

class PatienceTest : public World {
 protected:
  // Heartbeats keep everybody attached.
  void pass(int time) {
    for (int second = 0; second < time; ++second) {
      for (const auto& node : nodes) node->say(protocol::Heartbeat{});
      executor.advance(seconds(1));
    }
  }
  GenerationRequest long_prompt() const {
    GenerationRequest long_one = request();
    long_one.prompt.resize(200, 'x');
    return long_one;
  }
};

TEST_F(PatienceTest, AMinersFirstStepIsAwaitedByPromptAndSpeed) {
  FakeNode& slow = add_miner(4, 1);  // 10 tokens of a prompt per second: 8 * 20 s
  const Run run = submit(open(), {long_prompt()});
  const auto assign = slow.heard<protocol::Assign>().at(0);
  pass(150);
  EXPECT_TRUE(slow.heard<protocol::Cancel>().empty());
  pass(20);
  EXPECT_EQ(slow.heard<protocol::Cancel>().size(), 1u);
}

TEST_F(PatienceTest, AVerdictIsAwaitedByTheAnswersLengthAndTheValidatorsSpeed) {
  FakeNode& miner = add_miner();
  FakeNode& slow = add(protocol::Role::validator, 4, 1);
  const auto session = open(full());
  const Run checked = submit(session, {long_prompt()});
  miner.run(miner.heard<protocol::Assign>().at(0));
  pass(150);
  slow.judge();
  ASSERT_TRUE(checked.heard->result);
  EXPECT_EQ(checked.heard->result->choices[0].outcome, ledger::TaskOutcome::valid);

  const Run unchecked = submit(session, {long_prompt()});
  miner.run(miner.heard<protocol::Assign>().at(1));
  pass(180);
  ASSERT_TRUE(unchecked.heard->result);
  EXPECT_EQ(unchecked.heard->result->choices[0].outcome, ledger::TaskOutcome::inconclusive);
}

}  // namespace
}  // namespace cortensor::router
