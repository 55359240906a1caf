// Claims: an answer reaches the client token by token and is paid once, to the right parties; a lost miner is
// replaced without the client noticing; whoever breaks the rules is left out; the queue is bounded and
// honest.
#include <set>

#include "world.h"

namespace cortensor::router {
namespace {

class TaskTest : public World {};

TEST_F(TaskTest, AnswersAndPaysTheMinerAndTheRouter) {
  FakeNode& miner = add_miner();
  const auto session = open();
  const Run run = submit(session);
  ASSERT_TRUE(run.task);
  const auto assign = miner.heard<protocol::Assign>().at(0);
  EXPECT_EQ(assign.request, request());
  EXPECT_TRUE(assign.given.empty());
  miner.run(assign);

  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->texts[0], text_of(true_answer(request(), *model, 12), *model));
  EXPECT_EQ(run.heard->finishes[0], FinishReason::stop);
  const ChoiceResult& choice = run.heard->result->choices.at(0);
  EXPECT_EQ(choice.outcome, ledger::TaskOutcome::unchecked);
  EXPECT_EQ(choice.prompt_tokens, 3u);
  EXPECT_EQ(choice.completion_tokens, 13u);
  // 3 * 2 + 13 * 8 = 110 micro-credits; the router keeps 5 %.
  EXPECT_EQ(run.heard->result->cost.micro, 110);
  EXPECT_EQ(earned(miner.id).micro, 105);
  EXPECT_EQ(earned(core->id()).micro, 5);
  EXPECT_EQ(hold(session).micro, 1'000'000 - 110);
  EXPECT_EQ(core->sessions().reserved(session.id).micro, 0);
  EXPECT_EQ(receipt(*run.heard->result).bill.total, 110);
  EXPECT_EQ(core->tasks(), 0u);
}

TEST_F(TaskTest, AccountsAndMinersHaveCacheSaltsOfTheirOwn) {
  FakeNode& one = add_miner(8, 200);
  const auto session = open();
  submit(session), submit(open());
  account = *ledger->create_account("bob", executor.wall_now());
  EXPECT_TRUE(ledger->deposit(account, Credits{kMoney}, "second", executor.wall_now()));
  submit(open());
  const auto alices = one.heard<protocol::Assign>();
  ASSERT_EQ(alices.size(), 3u);
  ASSERT_TRUE(alices[0].cache_salt);
  EXPECT_EQ(alices[0].cache_salt, alices[1].cache_salt);
  EXPECT_NE(alices[0].cache_salt, alices[2].cache_salt);
  FakeNode& other = add_miner(8, 400);
  submit(open());
  ASSERT_EQ(other.heard<protocol::Assign>().size(), 1u);
  EXPECT_NE(other.heard<protocol::Assign>()[0].cache_salt, alices[2].cache_salt);
}

TEST_F(TaskTest, EveryRouterFindsTheSameHomeForAPrompt) {
  std::vector<NodeId> before, after;
  for (std::vector<NodeId>* homes : {&before, &after}) {
    if (!nodes.empty()) restart();
    nodes.clear();
    for (int i = 0; i < 3; ++i) add_miner(16);
    const auto session = open();
    for (TokenId i = 0; i < 8; ++i) {
      GenerationRequest one = request();
      one.prompt.resize(100, 'a' + i);
      const Run run = submit(session, {one});
      const auto chosen = std::find_if(nodes.begin(), nodes.end(), [&](const auto& node) {
        return core->nodes().nodes().at(node->link).busy > 0;
      });
      homes->push_back((*chosen)->id);
      core->cancel(*run.task);
      (*chosen)->say(protocol::AttemptFailed{(*chosen)->heard<protocol::Assign>().back().attempt,
                                             ErrorKind::cancelled, ""});
    }
  }
  EXPECT_EQ(before, after);
}

TEST_F(TaskTest, WhatAMinerHadInItsCacheIsToldAndChangesNoBill) {
  FakeNode& miner = add_miner();
  for (const auto& [said, told] : {std::pair(2u, 2u), {1000u, 3u}}) {  // of a prompt of three
    miner.cached = said;
    const Run run = submit(open());
    miner.run(miner.heard<protocol::Assign>().back());
    ASSERT_TRUE(run.heard->result);
    EXPECT_EQ(run.heard->result->choices.at(0).cached_tokens, told);
    EXPECT_EQ(run.heard->result->cost.micro, 110);
  }
}

TEST_F(TaskTest, AMinerThatVanishesIsReplacedWithoutATrace) {
  FakeNode& first = add_miner(4, 200);
  FakeNode& second = add_miner(4, 100);
  const Run run = submit(open());
  const auto assign = first.heard<protocol::Assign>().at(0);
  first.send_steps(assign, 0, 5);
  links.cut(first.link);

  const auto resumed = second.heard<protocol::Assign>().at(0);
  const auto truth = true_answer(request(), *model, 12);
  ASSERT_EQ(resumed.given.size(), 5u);
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(resumed.given[i], truth[i].token);
  EXPECT_NE(resumed.attempt, assign.attempt);
  second.run(resumed);

  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->texts[0], text_of(truth, *model));
  EXPECT_EQ(run.heard->tokens[0], 13u);  // none twice
  EXPECT_EQ(earned(first.id).micro, 0);
  EXPECT_EQ(earned(second.id).micro, 105);
  EXPECT_EQ(receipt(*run.heard->result).steps, truth);
}

TEST_F(TaskTest, AContinuationMayAlsoBeginBehindWhatWasGiven) {
  FakeNode& first = add_miner(4, 200);
  FakeNode& second = add_miner(4, 100);
  const Run run = submit(open());
  first.send_steps(first.heard<protocol::Assign>().at(0), 0, 13);  // all but the last word
  links.cut(first.link);
  second.submit(second.heard<protocol::Assign>().at(0));
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(receipt(*run.heard->result).commitments.at(0).miner, second.id);
}

TEST_F(TaskTest, WhatAnotherRouterGivesBackIsUsedAtOnce) {
  FakeNode& miner = add_miner(2);
  miner.say(protocol::Heartbeat{1, 1, 1, {}});
  submit(open());
  EXPECT_TRUE(miner.heard<protocol::Assign>().empty());
  miner.say(protocol::Heartbeat{1, 1, 0, {}});
  EXPECT_EQ(miner.heard<protocol::Assign>().size(), 1u);
}

TEST_F(TaskTest, AMinerThatStallsIsReplaced) {
  FakeNode& first = add_miner(4, 200);
  FakeNode& second = add_miner(4, 100);
  const Run run = submit(open());
  const auto assign = first.heard<protocol::Assign>().at(0);
  first.send_steps(assign, 0, 3);
  for (int second_passed = 0; second_passed < 16; ++second_passed) {
    first.say(protocol::Heartbeat{1});
    second.say(protocol::Heartbeat{0});
    executor.advance(std::chrono::seconds(1));
  }
  EXPECT_EQ(first.heard<protocol::Cancel>().size(), 1u);
  ASSERT_EQ(second.heard<protocol::Assign>().size(), 1u);
  first.run(assign);  // too late, and ignored
  EXPECT_FALSE(run.heard->result);
  second.run(second.heard<protocol::Assign>().at(0));
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->texts[0], text_of(true_answer(request(), *model, 12), *model));
}

TEST_F(TaskTest, WithTheOnlyMinerBackTheAnswerGoesOn) {
  FakeNode& miner = add_miner();
  const Run run = submit(open());
  miner.send_steps(miner.heard<protocol::Assign>().at(0), 0, 4);
  links.cut(miner.link);
  EXPECT_FALSE(run.heard->error);
  miner.attach("");  // known by its key now
  const auto resumed = miner.heard<protocol::Assign>().at(0);
  EXPECT_EQ(resumed.given.size(), 4u);
  miner.run(resumed);
  EXPECT_TRUE(run.heard->result);
}

TEST_F(TaskTest, WithNobodyLeftTheTaskFailsAndCostsNothing) {
  FakeNode& miner = add_miner();
  const auto session = open();
  const Run run = submit(session);
  miner.send_steps(miner.heard<protocol::Assign>().at(0), 0, 4);
  links.cut(miner.link);
  executor.advance(std::chrono::seconds(16));
  ASSERT_TRUE(run.heard->error);
  EXPECT_EQ(run.heard->error->kind, ErrorKind::unavailable);
  EXPECT_EQ(hold(session).micro, 1'000'000);
  EXPECT_EQ(core->sessions().reserved(session.id).micro, 0);
}

TEST_F(TaskTest, StepsOutOfOrderOrRepeatedEndTheAttempt) {
  for (const std::uint32_t wrong_first : {0u, 2u, 7u}) {
    FakeNode& bad = add_miner(4, 900);
    FakeNode& good = add_miner(4, 100);
    const Run run = submit(open());
    const auto assign = bad.heard<protocol::Assign>().at(0);
    bad.send_steps(assign, 0, 3);
    bad.say(protocol::Steps{assign.attempt, wrong_first, {bad.answer(assign)[3]}, {}});
    EXPECT_EQ(ledger->node(bad.id)->strikes, 1u);
    ASSERT_EQ(good.heard<protocol::Assign>().size(), 1u) << wrong_first;
    good.run(good.heard<protocol::Assign>().at(0));
    EXPECT_TRUE(run.heard->result);
    links.cut(bad.link);
    links.cut(good.link);
  }
}

TEST_F(TaskTest, StepsPastTheEndEndTheAttempt) {
  FakeNode& bad = add_miner(4, 900);
  FakeNode& good = add_miner(4, 100);
  const Run run = submit(open());
  const auto assign = bad.heard<protocol::Assign>().at(0);
  bad.send_steps(assign, 0, SIZE_MAX);
  bad.say(protocol::Steps{assign.attempt, 13, {Step{'x', {}}}, {}});
  EXPECT_EQ(ledger->node(bad.id)->strikes, 1u);
  good.run(good.heard<protocol::Assign>().at(0));
  EXPECT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->texts[0], text_of(true_answer(request(), *model, 12), *model));
}

TEST_F(TaskTest, ASubmissionThatDoesNotFitTheStepsEndsTheAttempt) {
  using Spoil = std::function<void(protocol::Commitment&, const FakeNode&)>;
  const auto sign = [](protocol::Commitment& c, const FakeNode& node) {
    c.signature = node.key.sign(protocol::signed_bytes(c));
  };
  const std::vector<Spoil> spoilers = {
      [](protocol::Commitment& c, const FakeNode&) { c.signature[5] ^= 1; },
      [&](protocol::Commitment& c, const FakeNode& n) { c.root[0] ^= 1, sign(c, n); },
      [&](protocol::Commitment& c, const FakeNode& n) { c.count += 1, sign(c, n); },
      [&](protocol::Commitment& c, const FakeNode& n) { c.request[0] ^= 1, sign(c, n); },
      [&](protocol::Commitment& c, const FakeNode& n) { c.model[0] ^= 1, sign(c, n); },
      [&](protocol::Commitment& c, const FakeNode& n) { c.arithmetic_version += 1, sign(c, n); },
  };
  for (const Spoil& spoil : spoilers) {
    FakeNode& bad = add_miner(4, 900);
    FakeNode& good = add_miner(4, 100);
    const Run run = submit(open());
    const auto assign = bad.heard<protocol::Assign>().at(0);
    bad.send_steps(assign, 0, SIZE_MAX);
    auto commitment = bad.commitment(assign);
    spoil(commitment, bad);
    bad.say(protocol::Submission{commitment});
    EXPECT_EQ(ledger->node(bad.id)->strikes, 1u);
    good.run(good.heard<protocol::Assign>().at(0));
    ASSERT_TRUE(run.heard->result);
    EXPECT_EQ(receipt(*run.heard->result).commitments.at(0).miner, good.id);
    links.cut(bad.link);
    links.cut(good.link);
  }
}

TEST_F(TaskTest, AnotherNodesAttemptIsNobodyElsesBusiness) {
  FakeNode& miner = add_miner(4, 900);
  FakeNode& other = add_miner(4, 100);
  const Run run = submit(open());
  const auto assign = miner.heard<protocol::Assign>().at(0);
  other.send_steps(assign, 0, 1);
  other.submit(assign);
  EXPECT_EQ(ledger->node(other.id)->strikes, 2u);
  EXPECT_FALSE(run.heard->result);
  EXPECT_EQ(run.heard->tokens[0], 0u);
  miner.run(assign);
  EXPECT_TRUE(run.heard->result);
}

TEST_F(TaskTest, TooManyStrikesAreAQuarantine) {
  FakeNode& miner = add_miner(4, 900);
  FakeNode& other = add_miner(4, 100);
  submit(open());
  other.send_steps(miner.heard<protocol::Assign>().at(0), 0, 4);
  executor.run();
  EXPECT_TRUE(quarantined(other));
  EXPECT_TRUE(other.closed());
  EXPECT_EQ(other.heard<protocol::Refusal>().size(), 1u);
}

TEST_F(TaskTest, WorkGoesToTheFastestThenSpreads) {
  FakeNode& fast = add_miner(4, 100);
  FakeNode& slow = add_miner(4, 60);
  const auto session = open();
  std::vector<Run> runs;
  for (int i = 0; i < 3; ++i) runs.push_back(submit(session));
  // 100 beats 60; 60 beats 100 / 2; 100 / 2 beats 60 / 2.
  EXPECT_EQ(fast.heard<protocol::Assign>().size(), 2u);
  EXPECT_EQ(slow.heard<protocol::Assign>().size(), 1u);
}

TEST_F(TaskTest, ReservationsKeepConcurrentTasksWithinTheHold) {
  FakeNode& miner = add_miner(8);
  // Each task may cost 3 * 2 + 20 * 8 = 166.
  const auto session = open({}, 166 * 2 + 120);
  const Run first = submit(session);
  const Run second = submit(session);
  EXPECT_EQ(core->sessions().reserved(session.id).micro, 2 * 166);
  const Run third = submit(session);
  ASSERT_FALSE(third.task);
  EXPECT_EQ(third.task.error().kind, ErrorKind::payment_required);
  EXPECT_EQ(miner.heard<protocol::Assign>().size(), 2u);
  miner.run(miner.heard<protocol::Assign>().at(0));
  EXPECT_TRUE(first.heard->result);
  EXPECT_EQ(core->sessions().reserved(session.id).micro, 166);
  EXPECT_EQ(core->sessions().close(account, session.id, executor.wall_now()).error().kind,
            ErrorKind::conflict);
  EXPECT_TRUE(submit(session).task);  // 452 - 110 - 166 = 176 are free again
}

TEST_F(TaskTest, ChoicesAreSettledEachWithItsReceipt) {
  FakeNode& miner = add_miner();
  const auto session = open();
  const Run run = submit(session, {request(1), request(2), request(3)});
  for (const auto& assign : miner.heard<protocol::Assign>()) {
    EXPECT_FALSE(run.heard->result);
    miner.run(assign);
  }
  ASSERT_TRUE(run.heard->result);
  ASSERT_EQ(run.heard->result->choices.size(), 3u);
  for (std::uint32_t i = 0; i < 3; ++i) {
    EXPECT_EQ(receipt(*run.heard->result, i).choice, i);
    EXPECT_EQ(run.heard->texts[i], text_of(true_answer(request(i + 1), *model, 12), *model));
  }
  EXPECT_EQ(hold(session).micro, 1'000'000 - 330);
}

TEST_F(TaskTest, ACancelledTaskStopsItsMinerAndCostsNothing) {
  FakeNode& miner = add_miner();
  const auto session = open();
  const Run run = submit(session);
  const auto assign = miner.heard<protocol::Assign>().at(0);
  miner.send_steps(assign, 0, 3);
  core->cancel(*run.task);
  ASSERT_EQ(miner.heard<protocol::Cancel>().size(), 1u);
  EXPECT_EQ(miner.heard<protocol::Cancel>()[0].attempt, assign.attempt);
  EXPECT_EQ(core->nodes().nodes().begin()->second.busy, 1u);  // until the miner has let go
  miner.send_steps(assign, 3, SIZE_MAX);
  miner.submit(assign);
  EXPECT_FALSE(run.heard->result || run.heard->error);
  EXPECT_EQ(hold(session).micro, 1'000'000);
  EXPECT_EQ(core->sessions().reserved(session.id).micro, 0);
  EXPECT_EQ(core->nodes().nodes().begin()->second.busy, 0u);
  EXPECT_EQ(ledger->node(miner.id)->strikes, 0u);  // late is not wrong
}

TEST_F(TaskTest, ClientsThatComeAndGoDoNotFloodAMiner) {
  FakeNode& miner = add(protocol::Role::miner, 2);
  const auto session = open();
  for (int i = 0; i < 100; ++i) core->cancel(*submit(session, {request(1), request(2)}).task);
  EXPECT_EQ(miner.heard<protocol::Assign>().size(), 2u);
  const Run run = submit(session);
  EXPECT_EQ(miner.heard<protocol::Assign>().size(), 2u);
  const auto cancels = miner.heard<protocol::Cancel>();
  ASSERT_EQ(cancels.size(), 2u);
  miner.say(protocol::AttemptFailed{cancels[0].attempt, ErrorKind::cancelled, "cancelled"});
  ASSERT_EQ(miner.heard<protocol::Assign>().size(), 3u);
  miner.run(miner.heard<protocol::Assign>().back());
  EXPECT_TRUE(run.heard->result);
}

TEST_F(TaskTest, OfACancelledTaskWhatIsCompleteIsPaidAndTheRestStopped) {
  FakeNode& miner = add_miner();
  const auto session = open();
  const Run run = submit(session, {request(1), request(2), request(3)});
  const auto assigns = miner.heard<protocol::Assign>();
  miner.run(assigns.at(1));
  miner.send_steps(assigns.at(2), 0, 3);
  core->cancel(*run.task);
  std::vector<AttemptId> stopped;
  for (const auto& cancel : miner.heard<protocol::Cancel>()) stopped.push_back(cancel.attempt);
  EXPECT_EQ(stopped, (std::vector{assigns[0].attempt, assigns[2].attempt}));
  for (const AttemptId& attempt : stopped)
    miner.say(protocol::AttemptFailed{attempt, ErrorKind::cancelled, "cancelled"});
  EXPECT_FALSE(run.heard->result || run.heard->error);
  EXPECT_EQ(earned(miner.id).micro, 105);
  EXPECT_EQ(hold(session).micro, 1'000'000 - 110);
  EXPECT_EQ(ledger->list_tasks(session.id)->size(), 1u);
  EXPECT_EQ(core->sessions().reserved(session.id).micro, 0);
  EXPECT_EQ(core->nodes().nodes().begin()->second.busy, 0u);
  EXPECT_EQ(core->tasks(), 0u);
}

TEST_F(TaskTest, OfACancelledTaskWhatAwaitsItsVerdictKeepsItsReservationAlone) {
  FakeNode& miner = add_miner();
  FakeNode& validator = add_validator();
  const auto session = open(full());
  const Run run = submit(session, {request(1), request(2)});
  const auto assigns = miner.heard<protocol::Assign>();
  miner.run(assigns.at(0));
  core->cancel(*run.task);
  // 3 * 2 + 20 * 8 = 166 and a quarter of it for the check.
  EXPECT_EQ(core->sessions().reserved(session.id).micro, 166 + 42);
  miner.run(assigns.at(1));  // too late, and ignored
  validator.judge();
  EXPECT_EQ(earned(validator.id).micro, 28);
  EXPECT_EQ(hold(session).micro, 1'000'000 - 138);
  EXPECT_EQ(core->sessions().reserved(session.id).micro, 0);
  EXPECT_EQ(core->tasks(), 0u);
}

TEST_F(TaskTest, WhatTheLedgerCannotBookFailsAndCostsNothing) {
  FakeNode& miner = add_miner();
  const auto session = open();
  const Run run = submit(session);
  disk_is_full = true;
  miner.run(miner.heard<protocol::Assign>().at(0));
  ASSERT_TRUE(run.heard->error);
  EXPECT_EQ(run.heard->error->kind, ErrorKind::unavailable);
  EXPECT_EQ(earned(miner.id).micro, 0);
  EXPECT_EQ(hold(session).micro, 1'000'000);
  EXPECT_EQ(core->sessions().reserved(session.id).micro, 0);
  EXPECT_EQ(core->tasks(), 0u);
  disk_is_full = false;
  const Run again = submit(session);
  miner.run(miner.heard<protocol::Assign>().at(1));
  EXPECT_TRUE(again.heard->result);
}

TEST_F(TaskTest, WithoutAMinerThereIsNoTask) {
  const auto session = open();
  const Run run = submit(session);
  ASSERT_FALSE(run.task);
  EXPECT_EQ(run.task.error().kind, ErrorKind::unavailable);
  EXPECT_EQ(core->sessions().reserved(session.id).micro, 0);
}

TEST_F(TaskTest, AClaimedSpeedDoesNotOutliveAnAnswerThatCameToNothing) {
  FakeNode& boaster = add_miner(4, 200);
  FakeNode& other = add_miner(4, 100);
  const auto session = open();
  submit(session);
  boaster.say(
      protocol::AttemptFailed{boaster.heard<protocol::Assign>().at(0).attempt, ErrorKind::internal, ""});
  other.run(other.heard<protocol::Assign>().at(0));
  submit(session);
  EXPECT_EQ(boaster.heard<protocol::Assign>().size(), 1u);
  EXPECT_EQ(other.heard<protocol::Assign>().size(), 2u);
}

TEST_F(TaskTest, LeavingWithWorkUnderWayAndComingBackWithTheSameClaimDoesNotHelp) {
  FakeNode& leaver = add_miner(4, 200);
  FakeNode& other = add_miner(4, 100);
  const auto session = open();
  submit(session);
  links.cut(leaver.link);
  other.run(other.heard<protocol::Assign>().at(0));
  leaver.attach("", 4, 200);
  submit(session);
  EXPECT_TRUE(leaver.heard<protocol::Assign>().empty());
  EXPECT_EQ(other.heard<protocol::Assign>().size(), 2u);
}

TEST_F(TaskTest, AMinerThatIsTooBusyIsAskedAgainLater) {
  FakeNode& miner = add_miner();
  const Run run = submit(open());
  const auto assign = miner.heard<protocol::Assign>().at(0);
  miner.say(protocol::AttemptFailed{assign.attempt, ErrorKind::overloaded, "full"});
  EXPECT_EQ(miner.heard<protocol::Assign>().size(), 1u);
  executor.advance(std::chrono::milliseconds(500));
  ASSERT_EQ(miner.heard<protocol::Assign>().size(), 2u);
  miner.run(miner.heard<protocol::Assign>().at(1));
  EXPECT_TRUE(run.heard->result);
}

TEST_F(TaskTest, WithoutRoomInOneMinerAnotherIsAskedAtOnce) {
  FakeNode& full = add_miner(4, 400);
  FakeNode& other = add_miner(4, 100);
  const Run run = submit(open());
  full.say(protocol::AttemptFailed{full.heard<protocol::Assign>().at(0).attempt, ErrorKind::overloaded, ""});
  EXPECT_EQ(full.heard<protocol::Assign>().size(), 1u);
  ASSERT_EQ(other.heard<protocol::Assign>().size(), 1u);
  other.run(other.heard<protocol::Assign>().at(0));
  EXPECT_TRUE(run.heard->result);
}

TEST_F(TaskTest, NoRoomAfterTheFirstTokenIsAFailure) {
  FakeNode& miner = add_miner();
  const Run run = submit(open());
  const auto assign = miner.heard<protocol::Assign>().at(0);
  miner.send_steps(assign, 0, 3);
  miner.say(protocol::AttemptFailed{assign.attempt, ErrorKind::overloaded, "full"});
  ASSERT_TRUE(run.heard->error);
  EXPECT_EQ(run.heard->error->kind, ErrorKind::unavailable);
  EXPECT_LT(core->nodes().nodes().at(miner.link).models.at(0).record->reliability(executor.now()), 1);
}

TEST_F(TaskTest, ForRoomARequestWaitsAsLongAsForAMiner) {
  FakeNode& miner = add_miner();
  const Run run = submit(open());
  for (std::size_t i = 0; i < 2 * options_.max_attempts; ++i) {
    ASSERT_EQ(miner.heard<protocol::Assign>().size(), i + 1);
    miner.say(protocol::AttemptFailed{miner.heard<protocol::Assign>().at(i).attempt, ErrorKind::overloaded,
                                      "full"});
    executor.advance(std::chrono::seconds(2));
  }
  EXPECT_FALSE(run.heard->error);
  for (std::size_t i = 2 * options_.max_attempts; !run.heard->error && i < 200; ++i) {
    if (miner.heard<protocol::Assign>().size() > i)
      miner.say(protocol::AttemptFailed{miner.heard<protocol::Assign>().at(i).attempt, ErrorKind::overloaded,
                                        "full"});
    executor.advance(std::chrono::seconds(2));
  }
  ASSERT_TRUE(run.heard->error);
  EXPECT_EQ(run.heard->error->kind, ErrorKind::overloaded);
}

TEST_F(TaskTest, WhatIsTooLargeForAMinerDoesNotSpeakAgainstIt) {
  FakeNode& small = add_miner();
  const auto session = open();
  const double before = core->nodes().nodes().at(small.link).models.at(0).record->reliability(executor.now());
  const Run run = submit(session);
  small.say(protocol::AttemptFailed{small.heard<protocol::Assign>().at(0).attempt, ErrorKind::invalid_input,
                                    "large"});
  ASSERT_TRUE(run.heard->error);
  EXPECT_EQ(run.heard->error->kind, ErrorKind::invalid_input);
  EXPECT_EQ(core->nodes().nodes().at(small.link).models.at(0).record->reliability(executor.now()), before);
}

TEST_F(TaskTest, AMinerThatFailsIsNotAskedAgain) {
  FakeNode& miner = add_miner();
  const Run run = submit(open());
  miner.say(
      protocol::AttemptFailed{miner.heard<protocol::Assign>().at(0).attempt, ErrorKind::internal, "broken"});
  ASSERT_TRUE(run.heard->error);
  EXPECT_EQ(run.heard->error->kind, ErrorKind::unavailable);
}

TEST_F(TaskTest, AfterARestartOpenSessionsGoOnAndExpiredOnesAreReleased) {
  const auto session = open();
  ledger::SessionSpec brief = session.spec;
  brief.expiry = executor.wall_now() + std::chrono::seconds(60);
  const auto dying = core->sessions().open(brief, executor.wall_now());
  ASSERT_TRUE(dying);
  FakeNode& before = add_miner();
  submit(session);
  before.send_steps(before.heard<protocol::Assign>().at(0), 0, 3);

  core.reset();
  executor.advance(std::chrono::seconds(120));
  restart();
  EXPECT_EQ(ledger->session(dying->id)->state, ledger::SessionState::expired);
  EXPECT_EQ(ledger->session(session.id)->state, ledger::SessionState::open);
  EXPECT_EQ(hold(session).micro, 1'000'000);
  FakeNode& miner = add_miner();
  const Run run = submit(session);
  miner.run(miner.heard<protocol::Assign>().at(0));
  EXPECT_TRUE(run.heard->result);
}

TEST_F(TaskTest, TasksTakeTurns) {
  FakeNode& miner = add_miner(1);
  const auto session = open();
  const Run many = submit(session, {request(0), request(1), request(2)});
  const Run one = submit(session, {request(7)});
  const Run two = submit(session, {request(8), request(9)});
  std::vector<std::uint64_t> seeds;
  for (std::size_t i = 0; i < 6; ++i) {
    ASSERT_EQ(miner.heard<protocol::Assign>().size(), i + 1);
    const auto assign = miner.heard<protocol::Assign>()[i];
    seeds.push_back(assign.request.sampling.seed);
    miner.run(assign);
  }
  EXPECT_EQ(seeds, (std::vector<std::uint64_t>{0, 1, 7, 8, 2, 9}));
}

// The last one waits for 200 seconds, alone it might for 60.
TEST_F(TaskTest, ATaskOfManyChoicesMayTakeItsTime) {
  FakeNode& miner = add_miner(1);
  const Run many = submit(open(), {request(0), request(1), request(2), request(3), request(4), request(5)});
  for (std::size_t i = 0; i < 6; ++i) {
    ASSERT_EQ(miner.heard<protocol::Assign>().size(), i + 1);
    const auto assign = miner.heard<protocol::Assign>()[i];
    for (std::size_t step = 0; step < 4; ++step) {
      miner.send_steps(assign, step, step + 1);
      executor.advance(std::chrono::seconds(10));
    }
    miner.send_steps(assign, 4, SIZE_MAX);
    miner.submit(assign);
  }
  EXPECT_FALSE(many.heard->error);
}

TEST_F(TaskTest, TheEarliestDeadlineIsFirstAndBatchWorkLast) {
  FakeNode& miner = add_miner(1);
  const auto session = open();
  const auto submit_as = [&](std::uint64_t seed, QueueClass queue_class,
                             std::optional<int> deadline_seconds) {
    TaskSpec spec = spec_of(session, {request(seed)});
    spec.queue_class = queue_class;
    if (deadline_seconds) spec.deadline = std::chrono::seconds(*deadline_seconds);
    return submit(std::move(spec));
  };
  const Run running = submit_as(0, QueueClass::batch, {});
  const Run batch = submit_as(1, QueueClass::batch, 1);
  const Run patient = submit_as(2, QueueClass::interactive, {});
  const Run urgent = submit_as(3, QueueClass::interactive, 30);
  EXPECT_FALSE(core->task_table().standing(*running.task));
  EXPECT_EQ(core->task_table().standing(*urgent.task)->place, 1u);
  EXPECT_EQ(core->task_table().standing(*patient.task)->place, 2u);
  EXPECT_EQ(core->task_table().standing(*batch.task)->place, 3u);
  std::vector<std::uint64_t> seeds;
  for (std::size_t i = 0; i < 4; ++i) {
    ASSERT_EQ(miner.heard<protocol::Assign>().size(), i + 1);
    seeds.push_back(miner.heard<protocol::Assign>()[i].request.sampling.seed);
    miner.run(miner.heard<protocol::Assign>()[i]);
  }
  EXPECT_EQ(seeds, (std::vector<std::uint64_t>{0, 3, 2, 1}));
}

TEST_F(TaskTest, WhoWaitsHearsOnceASecondWhereItStands) {
  FakeNode& miner = add_miner(1);
  const auto session = open();
  std::vector<Run> runs;
  for (std::uint64_t i = 0; i < 3; ++i) runs.push_back(submit(session, {request(i)}));
  executor.advance(std::chrono::milliseconds(900));
  EXPECT_TRUE(runs[2].heard->standings.empty());
  executor.advance(std::chrono::milliseconds(1100));
  miner.run(miner.heard<protocol::Assign>().at(0));
  executor.advance(std::chrono::milliseconds(1000));
  EXPECT_TRUE(runs[0].heard->standings.empty());
  ASSERT_EQ(runs[2].heard->standings.size(), 3u);
  EXPECT_EQ(runs[2].heard->standings[1].place, 2u);
  EXPECT_FALSE(runs[2].heard->standings[1].has_eta());
  EXPECT_EQ(runs[2].heard->standings[2].place, 1u);
  EXPECT_EQ(runs[2].heard->standings[2].eta, std::chrono::seconds(2));  // as long as the one before it
  miner.run(miner.heard<protocol::Assign>().at(1));
  executor.advance(std::chrono::seconds(3));
  EXPECT_EQ(runs[2].heard->standings.size(), 3u);  // it is being answered
}

TEST_F(TaskTest, ARequestThatCannotBeginByItsDeadlineIsToldSoAtOnceOrThen) {
  FakeNode& miner = add_miner(1);
  const auto session = open();
  std::vector<Run> runs;
  for (std::uint64_t i = 0; i < 3; ++i) runs.push_back(submit(session, {request(i)}));
  TaskSpec spec = spec_of(session, {request(9)});
  spec.deadline = std::chrono::milliseconds(1500);
  const Run hopeful = submit(spec);  // nothing is known yet
  executor.advance(std::chrono::milliseconds(1400));
  EXPECT_FALSE(hopeful.heard->error);
  executor.advance(std::chrono::milliseconds(400));
  ASSERT_TRUE(hopeful.heard->error);
  EXPECT_EQ(hopeful.heard->error->kind, ErrorKind::overloaded);
  EXPECT_FALSE(runs[2].heard->error);

  executor.advance(std::chrono::milliseconds(1200));
  for (std::size_t i = 0; i < kEnoughToRefuse; ++i) {
    const Run hopeful_still = submit(spec);
    EXPECT_TRUE(hopeful_still.task);
    core->cancel(*hopeful_still.task);
    runs.push_back(submit(session, {request(9)}));
    miner.run(miner.heard<protocol::Assign>().at(i));  // each takes 3 s
    if (i + 1 < kEnoughToRefuse) executor.advance(std::chrono::seconds(3));
  }
  const Run hopeless = submit(spec);
  ASSERT_FALSE(hopeless.task);
  EXPECT_EQ(hopeless.task.error().kind, ErrorKind::overloaded);
  EXPECT_EQ(core->task_table().time_to_room(core->task_table().demand_of(spec)),
            std::chrono::milliseconds(1500));
  spec.deadline = std::chrono::milliseconds(3500);  // it goes before the one that has a minute
  EXPECT_TRUE(submit(spec).task);
}

TEST_F(TaskTest, EachChoiceMustBeginByTheDeadline) {
  FakeNode& miner = add_miner(1);
  TaskSpec spec = spec_of(open(), {request(1), request(2), request(3)});
  spec.deadline = std::chrono::seconds(2);
  const Run run = submit(spec);
  executor.advance(std::chrono::milliseconds(1500));
  miner.run(miner.heard<protocol::Assign>().at(0));
  executor.advance(std::chrono::milliseconds(400));
  EXPECT_FALSE(run.heard->error);
  executor.advance(std::chrono::milliseconds(300));  // the second has begun, the third has not
  ASSERT_TRUE(run.heard->error);
  EXPECT_EQ(run.heard->error->kind, ErrorKind::overloaded);
}

TEST_F(TaskTest, AnAnswerThatHasBegunHasNoDeadlineAnyMore) {
  FakeNode& first = add_miner(1, 200);
  FakeNode& second = add_miner(1, 100);
  const auto session = open();
  TaskSpec spec = spec_of(session, {request(1)});
  spec.deadline = std::chrono::seconds(2);
  const Run run = submit(spec);
  const Run other = submit(session);
  first.send_steps(first.heard<protocol::Assign>().at(0), 0, 3);
  links.cut(first.link);
  executor.advance(std::chrono::seconds(4));
  EXPECT_FALSE(run.heard->error);
  second.run(second.heard<protocol::Assign>().at(0));
  ASSERT_EQ(second.heard<protocol::Assign>().size(), 2u);
  second.run(second.heard<protocol::Assign>().at(1));
  EXPECT_TRUE(run.heard->result);
}

// Many wait and nothing becomes free: a request that comes asks no miner.
TEST_F(TaskTest, ThoseWhoWaitForNothingCostNothing) {
  FakeNode& miner = add_miner(1);
  const auto session = open();
  const Run first = submit(session);
  std::vector<Run> runs;
  for (std::uint64_t i = 0; i < 50; ++i) runs.push_back(submit(session, {request(i)}));
  EXPECT_EQ(core->task_table().waiting().size(), 50u);
  for (const Run& run : runs) core->cancel(*run.task);
  EXPECT_EQ(core->task_table().waiting().size(), 0u);
  EXPECT_EQ(miner.heard<protocol::Assign>().size(), 1u);
  EXPECT_TRUE(miner.heard<protocol::Cancel>().empty());
}

class SmallQueueTest : public World {
 protected:
  SmallQueueTest()
      : World([] {
          CoreOptions options;
          options.max_queued = 2;
          options.max_queued_batch = 1;
          return options;
        }()) {}
};

TEST_F(SmallQueueTest, IsBoundedServesInOrderAndSaysWhenItIsFull) {
  FakeNode& miner = add_miner(1);
  const auto session = open();
  std::vector<Run> runs;
  for (std::uint64_t i = 0; i < 3; ++i) runs.push_back(submit(session, {request(i)}));
  for (const Run& run : runs) EXPECT_TRUE(run.task);
  const Run fourth = submit(session);
  ASSERT_FALSE(fourth.task);
  EXPECT_EQ(fourth.task.error().kind, ErrorKind::overloaded);
  TaskSpec batch = spec_of(session, {request(9)});
  batch.queue_class = QueueClass::batch;
  EXPECT_TRUE(submit(batch).task);  // it has a line of its own
  EXPECT_FALSE(submit(batch).task);
  for (std::uint64_t i = 0; i < 3; ++i) {
    ASSERT_EQ(miner.heard<protocol::Assign>().size(), i + 1);
    EXPECT_EQ(miner.heard<protocol::Assign>()[i].request.sampling.seed, i);
    miner.run(miner.heard<protocol::Assign>()[i]);
    EXPECT_TRUE(runs[i].heard->result);
  }
}

TEST_F(SmallQueueTest, SaysWhenItIsExpectedToHaveRoom) {
  FakeNode& miner = add_miner(1);
  const auto session = open();
  std::vector<Run> runs;
  for (std::uint64_t i = 0; i < 3; ++i) runs.push_back(submit(session, {request(i)}));
  executor.advance(std::chrono::seconds(4));
  miner.run(miner.heard<protocol::Assign>().at(0));  // 4 s for one
  runs.push_back(submit(session, {request(3)}));
  const auto& table = core->task_table();
  const auto two = table.demand_of(spec_of(session, {request(4), request(5)}));
  EXPECT_FALSE(submit(session, {request(4), request(5)}).task);
  EXPECT_EQ(table.time_to_room(two), std::chrono::seconds(8));
  EXPECT_EQ(table.time_to_room(table.demand_of(spec_of(session, {request(4)}))), std::chrono::seconds(4));
}

TEST_F(SmallQueueTest, WaitingEndsAtATimeLimit) {
  FakeNode& miner = add_miner(1);
  const auto session = open();
  const Run first = submit(session);
  const Run second = submit(session);
  const auto assign = miner.heard<protocol::Assign>().at(0);
  for (std::size_t i = 0; i < 7; ++i) {
    miner.send_steps(assign, i, i + 1);
    executor.advance(std::chrono::seconds(10));
  }
  EXPECT_FALSE(first.heard->error);
  ASSERT_TRUE(second.heard->error);
  EXPECT_EQ(second.heard->error->kind, ErrorKind::overloaded);
}

// Every miner finds the same, which says nothing about any of them.
TEST_F(TaskTest, AGrammarThatLeadsNowhereIsTheRequestsFaultAndWhatIsCompleteIsPaidFor) {
  FakeNode& one = add_miner();
  FakeNode& two = add_miner();
  std::vector<GenerationRequest> requests{request(1), request(2)};
  for (GenerationRequest& each : requests) each.grammar = "root ::= \"a\"";
  const auto session = open();
  const Run run = submit(session, requests);
  ASSERT_TRUE(run.task) << run.task.error().message;
  std::set<AttemptId> answered;
  for (int i = 0; i < 4; ++i)
    for (FakeNode* node : {&one, &two})
      for (const protocol::Assign& assign : node->heard<protocol::Assign>())
        if (!answered.insert(assign.attempt).second)
          continue;
        else if (assign.request.sampling.seed == 1)
          node->run(assign);
        else
          node->say(protocol::AttemptFailed{assign.attempt, ErrorKind::unsupported, "no token is left"});
  ASSERT_TRUE(run.heard->error);
  EXPECT_EQ(run.heard->error->kind, ErrorKind::unsupported);
  EXPECT_EQ(core->tasks(), 0u);
  EXPECT_EQ(ledger->list_tasks(session.id)->size(), 1u);
  EXPECT_EQ(hold(session).micro, 1'000'000 - 110);
  for (const auto& [link, node] : core->nodes().nodes())
    EXPECT_EQ(node.models[0].record->reliability(executor.now()), 1) << node.id.value;
}

}  // namespace
}  // namespace cortensor::router
