// Claims: an answer whose first token is late is begun by a second miner, within a budget; the first to begin
// is heard, the other one's beginning is compared and nobody pays for it.
#include <gmock/gmock.h>

#include "world.h"

namespace cortensor::router {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class HedgeTest : public World {
 protected:
  std::vector<protocol::Assign> assigned(const FakeNode& node) { return node.heard<protocol::Assign>(); }
  // The first miner has been given an answer and lets its time pass; the second one is asked.
  Run late(const ledger::Session& session) {
    const Run run = submit(session);
    EXPECT_THAT(assigned(slow), SizeIs(1));
    executor.advance(milliseconds(900));
    EXPECT_THAT(assigned(quick), IsEmpty());
    executor.advance(milliseconds(400));
    EXPECT_THAT(assigned(quick), SizeIs(1));
    return run;
  }
  std::size_t busy(const FakeNode& node) { return core->nodes().nodes().at(node.link).busy; }

  FakeNode& slow = add_miner(1, 400);
  FakeNode& quick = add_miner(1, 100);
};

TEST_F(HedgeTest, TheSecondMinerAnswersAndIsPaidAlone) {
  const auto session = open();
  const Run run = late(session);
  quick.run(assigned(quick)[0]);
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->texts[0], text_of(quick.answer(assigned(quick)[0]), *model));
  EXPECT_THAT(run.heard->result->choices[0].miners, ElementsAre(quick.id));
  EXPECT_EQ(earned(slow.id).micro, 0);
  EXPECT_GT(earned(quick.id).micro, 0);
  ASSERT_THAT(slow.heard<protocol::Cancel>(), SizeIs(1));
  EXPECT_EQ(busy(slow), 1u);  // until it has let go
  slow.say(protocol::AttemptFailed{assigned(slow)[0].attempt, ErrorKind::cancelled, "cancelled"});
  EXPECT_EQ(busy(slow), 0u);
  EXPECT_EQ(busy(quick), 0u);
}

TEST_F(HedgeTest, TheFirstOneThatBeginsAfterAllGoesOnAndTheOtherIsComparedAndStopped) {
  const Run run = late(open());
  slow.send_steps(assigned(slow)[0], 0, 3);
  quick.send_steps(assigned(quick)[0], 0, 5);
  EXPECT_THAT(quick.heard<protocol::Cancel>(), IsEmpty());
  quick.send_steps(assigned(quick)[0], 5, 9);
  EXPECT_THAT(quick.heard<protocol::Cancel>(), SizeIs(1));
  slow.send_steps(assigned(slow)[0], 3, SIZE_MAX);
  slow.submit(assigned(slow)[0]);
  ASSERT_TRUE(run.heard->result);
  EXPECT_THAT(run.heard->result->choices[0].miners, ElementsAre(slow.id));
  EXPECT_EQ(run.heard->result->choices[0].outcome, ledger::TaskOutcome::unchecked);
  EXPECT_EQ(earned(quick.id).micro, 0);
}

TEST_F(HedgeTest, ADifferenceIsCheckedAtEveryLevelAndTheLiarPays) {
  FakeNode& validator = add_validator();
  quick.lies_at = 2;
  const Run run = late(open());
  slow.send_steps(assigned(slow)[0], 0, 4);
  quick.send_steps(assigned(quick)[0], 0, 8);
  slow.send_steps(assigned(slow)[0], 4, SIZE_MAX);
  slow.submit(assigned(slow)[0]);
  EXPECT_FALSE(run.heard->result);
  ASSERT_THAT(validator.heard<protocol::Check>(), SizeIs(1));
  validator.judge();
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->result->choices[0].outcome, ledger::TaskOutcome::valid);
  EXPECT_EQ(ledger->node(quick.id)->strikes, 1u);
  EXPECT_EQ(ledger->node(slow.id)->strikes, 0u);
}

TEST_F(HedgeTest, ALiarThatIsHeardFirstIsFoundOutByTheOther) {
  FakeNode& validator = add_validator();
  slow.lies_at = 2;
  const Run run = late(open());
  slow.send_steps(assigned(slow)[0], 0, 4);
  quick.send_steps(assigned(quick)[0], 0, 8);
  slow.send_steps(assigned(slow)[0], 4, SIZE_MAX);
  slow.submit(assigned(slow)[0]);
  validator.judge();
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->result->choices[0].outcome, ledger::TaskOutcome::invalid);
  EXPECT_TRUE(quarantined(slow));
  EXPECT_EQ(ledger->node(quick.id)->strikes, 0u);
}

TEST_F(HedgeTest, WhenTheLeaderIsLostTheOtherTakesOver) {
  const Run run = late(open());
  slow.send_steps(assigned(slow)[0], 0, 5);
  quick.send_steps(assigned(quick)[0], 0, 2);
  links.cut(slow.link);
  quick.send_steps(assigned(quick)[0], 2, SIZE_MAX);
  quick.submit(assigned(quick)[0]);
  ASSERT_TRUE(run.heard->result);
  EXPECT_THAT(assigned(quick), SizeIs(1));  // it went on with what it had
  EXPECT_EQ(run.heard->texts[0], text_of(quick.answer(assigned(quick)[0]), *model));
  EXPECT_THAT(run.heard->result->choices[0].miners, ElementsAre(quick.id));
}

TEST_F(HedgeTest, ALostSecondMinerIsNotReplaced) {
  const Run run = late(open());
  links.cut(quick.link);
  executor.advance(milliseconds(3000));
  slow.run(assigned(slow)[0]);
  ASSERT_TRUE(run.heard->result);
  EXPECT_THAT(run.heard->result->choices[0].miners, ElementsAre(slow.id));
}

TEST_F(HedgeTest, TheBudgetIsATenthOfAllAttempts) {
  const auto session = open();
  late(session);
  quick.run(assigned(quick)[0]);
  slow.say(protocol::AttemptFailed{assigned(slow)[0].attempt, ErrorKind::cancelled, "cancelled"});
  submit(session);
  executor.advance(milliseconds(5000));
  EXPECT_EQ(assigned(slow).size() + assigned(quick).size(), 3u);  // late, but nothing is saved for it
}

TEST_F(HedgeTest, NothingIsTakenFromThoseWhoWait) {
  const auto session = open();
  FakeNode& third = add_miner(1, 50);
  const Run first = submit(session);
  submit(session), submit(session), submit(session);  // one of them waits
  EXPECT_EQ(core->waiting(), 1u);
  executor.advance(milliseconds(3000));
  EXPECT_EQ(assigned(slow).size() + assigned(quick).size() + assigned(third).size(), 3u);
}

}  // namespace
}  // namespace cortensor::router
