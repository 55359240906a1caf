// Claims: what is checked is decided after the submission; a verdict counts only from the validator that was
// asked and only when it is genuine; INVALID refunds and quarantines; a quorum needs k equal roots; nobody
// waits for ever.
#include <gmock/gmock.h>

#include "world.h"

namespace cortensor::router {
namespace {

class CheckTest : public World {};

TEST_F(CheckTest, AFullCheckPaysTheValidator) {
  FakeNode& miner = add_miner();
  FakeNode& validator = add_validator();
  const auto session = open(full());
  const Run run = submit(session);
  miner.run(miner.heard<protocol::Assign>().at(0));
  EXPECT_TRUE(run.heard->finishes[0]);
  EXPECT_FALSE(run.heard->result);
  const auto check = validator.heard<protocol::Check>().at(0);
  EXPECT_EQ(check.steps, true_answer(request(), *model, 12));
  validator.judge();
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->result->choices[0].outcome, ledger::TaskOutcome::valid);
  EXPECT_EQ(earned(miner.id).micro, 105);
  EXPECT_EQ(earned(validator.id).micro, 28);  // a quarter of 110, rounded up
  EXPECT_EQ(receipt(*run.heard->result).bill.total, 138);
}

TEST_F(CheckTest, AnInvalidAnswerIsRefundedAndItsMinerQuarantined) {
  FakeNode& liar = add_miner();
  FakeNode& validator = add_validator();
  const auto session = open(full());
  liar.lies_at = 6;
  const Run run = submit(session);
  const auto assign = liar.heard<protocol::Assign>().at(0);
  liar.run(assign);
  validator.judge();
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->result->choices[0].outcome, ledger::TaskOutcome::invalid);
  EXPECT_EQ(run.heard->result->cost.micro, 0);
  EXPECT_EQ(hold(session).micro, 1'000'000);
  const auto& proof = receipt(*run.heard->result);
  EXPECT_EQ(proof.verdicts.at(0).first_wrong, 6u);
  EXPECT_TRUE(proof.bill.payments.empty());
  EXPECT_EQ(ledger->node(liar.id)->evidence, protocol::commitment_digest(liar.commitment(assign)));
  executor.run();
  EXPECT_TRUE(quarantined(liar));
  EXPECT_TRUE(liar.closed());
  EXPECT_EQ(submit(session).task.error().kind, ErrorKind::unavailable);
  liar.attach("");
  EXPECT_EQ(liar.heard<protocol::Refusal>().at(0).kind, ErrorKind::forbidden);
}

TEST_F(CheckTest, SpotChecksAreDecidedOnlyAfterTheSubmission) {
  FakeNode& miner = add_miner();
  FakeNode& validator = add_validator();
  const auto session = open(spot(300'000));
  next_draw = 299'999;  // below: checked
  const Run checked = submit(session);
  miner.send_steps(miner.heard<protocol::Assign>().at(0), 0, SIZE_MAX);
  EXPECT_EQ(draws, 0);
  miner.submit(miner.heard<protocol::Assign>().at(0));
  EXPECT_EQ(draws, 1);
  ASSERT_EQ(validator.heard<protocol::Check>().size(), 1u);
  validator.judge();
  EXPECT_EQ(checked.heard->result->choices[0].outcome, ledger::TaskOutcome::valid);

  next_draw = 300'000;
  const Run unchecked = submit(session);
  miner.run(miner.heard<protocol::Assign>().at(1));
  EXPECT_EQ(draws, 2);
  EXPECT_EQ(validator.heard<protocol::Check>().size(), 1u);
  EXPECT_EQ(unchecked.heard->result->choices[0].outcome, ledger::TaskOutcome::unchecked);
}

TEST_F(CheckTest, AForgedVerdictIsAStrikeAndAnotherValidatorIsAsked) {
  FakeNode& miner = add_miner();
  FakeNode& forger = add(protocol::Role::validator, 4, 900);
  FakeNode& honest = add(protocol::Role::validator, 4, 100);
  const Run run = submit(open(full()));
  miner.run(miner.heard<protocol::Assign>().at(0));
  const auto check = forger.heard<protocol::Check>().at(0);
  auto verdict = forger.verdict(check);
  verdict.outcome = protocol::Outcome::invalid;  // not what was signed
  forger.say(protocol::CheckResult{check.commitment.attempt, verdict});
  EXPECT_FALSE(run.heard->result);
  EXPECT_EQ(ledger->node(forger.id)->strikes, 1u);
  honest.judge();
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->result->choices[0].outcome, ledger::TaskOutcome::valid);
  EXPECT_EQ(receipt(*run.heard->result).verdicts.size(), 1u);
}

TEST_F(CheckTest, AValidatorThatWasNotAskedIsNotHeard) {
  FakeNode& miner = add_miner();
  FakeNode& asked = add(protocol::Role::validator, 4, 900);
  FakeNode& other = add(protocol::Role::validator, 4, 100);
  const Run run = submit(open(full()));
  miner.run(miner.heard<protocol::Assign>().at(0));
  const auto check = asked.heard<protocol::Check>().at(0);
  other.say(protocol::CheckResult{check.commitment.attempt, other.verdict(check)});
  EXPECT_FALSE(run.heard->result);
  asked.judge();
  EXPECT_TRUE(run.heard->result);
}

TEST_F(CheckTest, NobodyJudgesItsOwnWork) {
  FakeNode& miner = add_miner();
  FakeNode& twin = add_twin(miner);
  submit(open(full()));
  miner.run(miner.heard<protocol::Assign>().at(0));
  EXPECT_TRUE(twin.heard<protocol::Check>().empty());
}

TEST_F(CheckTest, NobodyJudgesADisputeOfItsOwn) {
  FakeNode& supplier = add_miner(4, 900);
  FakeNode& objector = add_miner(4, 300);
  FakeNode& last = add_miner(4, 200);
  FakeNode& validator = add_validator();
  const std::vector<FakeNode*> twins = {&add_twin(supplier), &add_twin(objector), &add_twin(last)};
  const Run run = submit(open());
  supplier.send_steps(supplier.heard<protocol::Assign>().at(0), 0, 6);
  links.cut(supplier.link);
  objector.object(objector.heard<protocol::Assign>().at(0), 3);
  last.run(last.heard<protocol::Assign>().at(0));
  for (const FakeNode* twin : twins) EXPECT_TRUE(twin->heard<protocol::Check>().empty());
  EXPECT_EQ(validator.heard<protocol::Check>().size(), 1u);
}

TEST_F(CheckTest, WhereNobodyMayJudgeAndNobodyAskedForItTheAnswerDoesNotWait) {
  FakeNode& supplier = add_miner(4, 900);
  FakeNode& last = add_miner(4, 200);
  supplier.wrong_digest_at = 2;
  add_twin(supplier);
  const Run run = submit(open());
  supplier.send_steps(supplier.heard<protocol::Assign>().at(0), 0, 5);
  links.cut(supplier.link);
  last.run(last.heard<protocol::Assign>().at(0));
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->result->choices[0].outcome, ledger::TaskOutcome::inconclusive);
}

TEST_F(CheckTest, WithoutAVerdictInTimeTheBasePriceIsDue) {
  FakeNode& miner = add_miner();
  const Run run = submit(open(full()));
  miner.run(miner.heard<protocol::Assign>().at(0));
  executor.advance(std::chrono::seconds(61));
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->result->choices[0].outcome, ledger::TaskOutcome::inconclusive);
  EXPECT_EQ(run.heard->result->cost.micro, 110);
  EXPECT_EQ(receipt(*run.heard->result).verdicts.at(0).outcome, protocol::Outcome::inconclusive);
}

TEST_F(CheckTest, AValidatorThatLeavesIsReplaced) {
  FakeNode& miner = add_miner();
  FakeNode& first = add(protocol::Role::validator, 4, 900);
  FakeNode& second = add(protocol::Role::validator, 4, 100);
  const Run run = submit(open(full()));
  miner.run(miner.heard<protocol::Assign>().at(0));
  ASSERT_EQ(first.heard<protocol::Check>().size(), 1u);
  links.cut(first.link);
  second.judge();
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->result->choices[0].outcome, ledger::TaskOutcome::valid);
}

TEST_F(CheckTest, AnAnswerCutShortGoesOnElsewhereOrIsCondemned) {
  FakeNode& cutter = add_miner(4, 900);
  FakeNode& honest = add_miner(4, 100);
  FakeNode& validator = add_validator();
  cutter.cuts_at = 5;
  const auto session = open(full());
  const Run run = submit(session);
  cutter.run(cutter.heard<protocol::Assign>().at(0));
  EXPECT_TRUE(quarantined(cutter));
  EXPECT_EQ(honest.heard<protocol::Assign>().at(0).given.size(), 5u);
  honest.run(honest.heard<protocol::Assign>().at(0));
  validator.judge();
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->texts[0], text_of(true_answer(request(), *model, 12), *model));
  links.cut(honest.link);

  FakeNode& alone = add_miner();
  alone.cuts_at = 5;
  const Run condemned = submit(session);
  alone.run(alone.heard<protocol::Assign>().at(0));
  validator.judge();
  ASSERT_TRUE(condemned.heard->result);
  EXPECT_EQ(condemned.heard->result->choices[0].outcome, ledger::TaskOutcome::invalid);
  EXPECT_TRUE(quarantined(alone));
}

TEST_F(CheckTest, AContinuationThatContradictsWhatWasGivenIsCheckedAtEveryLevel) {
  FakeNode& liar = add_miner(4, 900);
  FakeNode& honest = add_miner(4, 100);
  FakeNode& validator = add_validator();
  liar.wrong_digest_at = 2;
  const Run run = submit(open());
  liar.send_steps(liar.heard<protocol::Assign>().at(0), 0, 5);
  links.cut(liar.link);
  honest.run(honest.heard<protocol::Assign>().at(0));
  EXPECT_FALSE(run.heard->result);
  validator.judge();
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->result->choices[0].outcome, ledger::TaskOutcome::valid);
  EXPECT_EQ(receipt(*run.heard->result).steps, true_answer(request(), *model, 12));
}

// A miner that alters a token and leaves before it has signed anything.
class VanishedLiarTest : public World {
 protected:
  void lie_and_leave() {
    session = open();
    liar.lies_at = 3;
    run = submit(session);
    run.heard->streamed = streamed;
    liar.send_steps(liar.heard<protocol::Assign>().at(0), 0, 6);
    liar.say(protocol::AttemptFailed{liar.heard<protocol::Assign>().at(0).attempt, ErrorKind::internal, ""});
  }

  FakeNode& liar = add_miner(4, 900);
  ledger::Session session;
  Run run;
  bool streamed = true;
};

TEST_F(VanishedLiarTest, IsStruckWhenTwoOthersCannotReproduceItsTokens) {
  FakeNode& first = add_miner(4, 300);
  FakeNode& second = add_miner(4, 200);
  FakeNode& third = add_miner(4, 100);
  lie_and_leave();
  first.object(first.heard<protocol::Assign>().at(0), 3);
  EXPECT_EQ(ledger->node(liar.id)->strikes, 0u);  // it could be the first one that lies
  EXPECT_FALSE(run.heard->error);
  second.object(second.heard<protocol::Assign>().at(0), 3);
  EXPECT_EQ(ledger->node(liar.id)->strikes, 1u);
  for (const FakeNode* honest : {&first, &second}) EXPECT_EQ(ledger->node(honest->id)->strikes, 0u);
  ASSERT_TRUE(run.heard->error);
  EXPECT_EQ(run.heard->error->kind, ErrorKind::unavailable);
  EXPECT_TRUE(third.heard<protocol::Assign>().empty());
  EXPECT_EQ(hold(session).micro, 1'000'000);
  for (const auto& [link, node] : core->nodes().nodes()) EXPECT_EQ(node.busy, 0u) << node.id.value;
  EXPECT_TRUE(second.heard<protocol::Cancel>().empty());  // it has let go by itself
}

TEST_F(CheckTest, WhatAClientLetsGoInVainIsDeliveredAgain) {
  FakeNode& honest = add_miner(4, 900);
  FakeNode& slanderer = add_miner(4, 300);
  FakeNode& next = add_miner(4, 200);
  const auto session = open();
  const Run run = submit(session);
  run.heard->held_back = 1;
  honest.send_steps(honest.heard<protocol::Assign>().at(0), 0, 6);
  links.cut(honest.link);
  slanderer.object(slanderer.heard<protocol::Assign>().at(0), 3);  // the client has seen more than that
  const auto assign = next.heard<protocol::Assign>().at(0);
  EXPECT_EQ(assign.given.size(), 5u);
  next.run(assign);
  EXPECT_EQ(run.heard->tokens[0], next.answer(assign).size());
}

TEST_F(VanishedLiarTest, WithOneOtherMinerAStreamFailsAndTheNextRequestGoesToThatOne) {
  FakeNode& only = add_miner(4, 300);
  lie_and_leave();
  only.object(only.heard<protocol::Assign>().at(0), 3);
  ASSERT_TRUE(run.heard->error);
  EXPECT_THAT(run.heard->error->message, ::testing::HasSubstr("could not be reproduced"));
  EXPECT_EQ(ledger->node(liar.id)->strikes, 1u);
  EXPECT_EQ(ledger->node(only.id)->strikes, 0u);
  EXPECT_EQ(hold(session).micro, 1'000'000);
  const Run next = submit(session);
  EXPECT_EQ(liar.heard<protocol::Assign>().size(), 1u);
  ASSERT_EQ(only.heard<protocol::Assign>().size(), 2u);
  only.run(only.heard<protocol::Assign>().at(1));
  EXPECT_TRUE(next.heard->result);
}

TEST_F(VanishedLiarTest, WhatTheClientHasNotSeenIsTakenBack) {
  FakeNode& only = add_miner(4, 300);
  FakeNode& validator = add_validator();
  streamed = false;
  lie_and_leave();
  only.object(only.heard<protocol::Assign>().at(0), 3);
  ASSERT_EQ(only.heard<protocol::Assign>().size(), 2u);
  EXPECT_TRUE(only.heard<protocol::Assign>().at(1).given.empty());
  EXPECT_EQ(ledger->node(liar.id)->strikes, 0u);  // it could be the other one that lies
  only.run(only.heard<protocol::Assign>().at(1));
  validator.judge();
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->result->choices[0].outcome, ledger::TaskOutcome::valid);
  const auto truth = true_answer(request(), *model, 12);
  EXPECT_EQ(run.heard->texts[0], text_of(truth, *model));
  EXPECT_EQ(run.heard->tokens[0], truth.size());
  EXPECT_EQ(receipt(*run.heard->result).steps, truth);
  EXPECT_EQ(ledger->node(liar.id)->strikes, 1u);
  EXPECT_EQ(ledger->node(only.id)->strikes, 0u);
  EXPECT_EQ(earned(liar.id).micro, 0);
  EXPECT_EQ(earned(only.id).micro, 105);
}

TEST_F(VanishedLiarTest, AStreamGoesOnBehindWhatItHasShown) {
  FakeNode& only = add_miner(4, 300);
  lie_and_leave();
  // As when the text of the last three tokens may still become a stop string.
  run.heard->tokens[0] = 3;
  run.heard->texts[0].resize(3);
  only.object(only.heard<protocol::Assign>().at(0), 3);
  ASSERT_EQ(only.heard<protocol::Assign>().size(), 2u);
  EXPECT_EQ(only.heard<protocol::Assign>().at(1).given.size(), 3u);
  only.run(only.heard<protocol::Assign>().at(1));
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->texts[0], text_of(true_answer(request(), *model, 12), *model));
  EXPECT_EQ(ledger->node(liar.id)->strikes, 1u);
}

TEST_F(VanishedLiarTest, WhoeverObjectsToWhatItThenAnswersItselfIsStruck) {
  FakeNode& slanderer = add_miner(4, 300);
  FakeNode& validator = add_validator();
  streamed = false;
  liar.lies_at.reset();
  session = open();
  run = submit(session);
  run.heard->streamed = false;
  liar.send_steps(liar.heard<protocol::Assign>().at(0), 0, 6);
  links.cut(liar.link);
  slanderer.object(slanderer.heard<protocol::Assign>().at(0), 3);
  slanderer.run(slanderer.heard<protocol::Assign>().at(1));
  validator.judge();
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(ledger->node(liar.id)->strikes, 0u);
  EXPECT_EQ(ledger->node(slanderer.id)->strikes, 1u);
}

TEST_F(VanishedLiarTest, BesideAnotherMinerAtWorkItsTokensAreTakenBack) {
  FakeNode& other = add_miner(4, 300);
  ledger::SessionSpec spec = open().spec;
  spec.redundancy = 2;
  session = *core->sessions().open(spec, executor.wall_now());
  liar.lies_at = 3;
  run = submit(session);
  run.heard->streamed = false;
  const auto assign = liar.heard<protocol::Assign>().at(0);
  liar.send_steps(assign, 0, 6);
  other.send_steps(other.heard<protocol::Assign>().at(0), 0, 5);
  liar.say(protocol::AttemptFailed{assign.attempt, ErrorKind::internal, ""});
  other.send_steps(other.heard<protocol::Assign>().at(0), 5, SIZE_MAX);
  other.submit(other.heard<protocol::Assign>().at(0));
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->texts[0], text_of(true_answer(request(), *model, 12), *model));
  EXPECT_EQ(ledger->node(liar.id)->strikes, 1u);
  EXPECT_EQ(earned(liar.id).micro, 0);
}

TEST_F(VanishedLiarTest, WhoeverGoesOnAgainstAnObjectionIsCheckedAtEveryLevel) {
  FakeNode& honest = add_miner(4, 300);
  FakeNode& accomplice = add_miner(4, 200);
  FakeNode& validator = add_validator();
  lie_and_leave();
  honest.object(honest.heard<protocol::Assign>().at(0), 3);
  accomplice.lies_at = 3;
  accomplice.run(accomplice.heard<protocol::Assign>().at(0));
  EXPECT_FALSE(run.heard->result);
  validator.judge();
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->result->choices[0].outcome, ledger::TaskOutcome::invalid);
  EXPECT_TRUE(quarantined(accomplice));
  EXPECT_EQ(ledger->node(honest.id)->strikes, 0u);
}

TEST_F(CheckTest, AnObjectionToAValidAnswerIsAStrike) {
  FakeNode& first = add_miner(4, 900);
  FakeNode& slanderer = add_miner(4, 300);
  FakeNode& honest = add_miner(4, 200);
  FakeNode& validator = add_validator();
  const Run run = submit(open());
  first.send_steps(first.heard<protocol::Assign>().at(0), 0, 6);
  links.cut(first.link);
  slanderer.object(slanderer.heard<protocol::Assign>().at(0), 3);
  honest.run(honest.heard<protocol::Assign>().at(0));
  EXPECT_FALSE(run.heard->result);
  validator.judge();
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->result->choices[0].outcome, ledger::TaskOutcome::valid);
  EXPECT_EQ(run.heard->texts[0], text_of(true_answer(request(), *model, 12), *model));
  EXPECT_EQ(ledger->node(slanderer.id)->strikes, 1u);
  EXPECT_EQ(ledger->node(first.id)->strikes, 0u);
}

TEST_F(CheckTest, AQuorumOfEqualRootsIsValidAndPaysEach) {
  FakeNode& a = add_miner(4, 300);
  FakeNode& b = add_miner(4, 200);
  FakeNode& c = add_miner(4, 100);
  const auto session = open(quorum(2, 3));
  const Run run = submit(session);
  a.send_steps(a.heard<protocol::Assign>().at(0), 0, 4);
  EXPECT_EQ(run.heard->tokens[0], 4u);
  b.run(b.heard<protocol::Assign>().at(0));
  EXPECT_EQ(run.heard->tokens[0], 4u);  // the first one streams
  a.send_steps(a.heard<protocol::Assign>().at(0), 4, SIZE_MAX);
  a.submit(a.heard<protocol::Assign>().at(0));
  EXPECT_FALSE(run.heard->result);
  c.run(c.heard<protocol::Assign>().at(0));
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->result->choices[0].outcome, ledger::TaskOutcome::valid);
  EXPECT_EQ(run.heard->result->cost.micro, 330);
  const auto& proof = receipt(*run.heard->result);
  EXPECT_EQ(proof.commitments.size(), 3u);
  EXPECT_EQ(proof.verdicts.at(0).method, protocol::Method::quorum);
  EXPECT_EQ(proof.verdicts.at(0).validator, core->id());
  for (const FakeNode* node : {&a, &b, &c}) EXPECT_EQ(earned(node->id).micro, 105);
}

TEST_F(CheckTest, ADisagreementIsDecidedByReplay) {
  FakeNode& liar = add_miner(4, 300);
  FakeNode& honest = add_miner(4, 200);
  FakeNode& validator = add_validator();
  liar.lies_at = 3;
  const auto session = open(quorum(2, 2));
  const Run run = submit(session);
  liar.run(liar.heard<protocol::Assign>().at(0));
  honest.run(honest.heard<protocol::Assign>().at(0));
  validator.judge();
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->result->choices[0].outcome, ledger::TaskOutcome::invalid);
  EXPECT_TRUE(quarantined(liar));
  EXPECT_FALSE(quarantined(honest));
  EXPECT_EQ(hold(session).micro, 1'000'000);
}

TEST_F(CheckTest, InADisagreementTheOneThatDiffersFromAValidAnswerIsOut) {
  FakeNode& honest = add_miner(4, 300);
  FakeNode& liar = add_miner(4, 200);
  FakeNode& validator = add_validator();
  liar.lies_at = 3;
  const Run run = submit(open(quorum(2, 2)));
  liar.run(liar.heard<protocol::Assign>().at(0));
  honest.run(honest.heard<protocol::Assign>().at(0));
  validator.judge();
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->result->choices[0].outcome, ledger::TaskOutcome::valid);
  EXPECT_EQ(run.heard->result->cost.micro, 138);  // one miner and the replay
  EXPECT_TRUE(quarantined(liar));
  EXPECT_EQ(earned(liar.id).micro, 0);
}

TEST_F(CheckTest, AQuorumOutvotesALiarThatLeads) {
  FakeNode& liar = add_miner(4, 300);
  FakeNode& one = add_miner(4, 200);
  FakeNode& two = add_miner(4, 100);
  FakeNode& validator = add_validator();
  liar.lies_at = 3;
  const auto session = open(quorum(2, 3));
  const Run run = submit(session);
  for (FakeNode* node : {&liar, &one, &two}) node->run(node->heard<protocol::Assign>().at(0));
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->result->choices[0].outcome, ledger::TaskOutcome::invalid);
  const auto& proof = receipt(*run.heard->result);
  EXPECT_EQ(proof.commitments.at(0).miner, liar.id);
  EXPECT_EQ(proof.verdicts.at(0).method, protocol::Method::quorum);
  EXPECT_EQ(hold(session).micro, 1'000'000);
  EXPECT_EQ(ledger->node(liar.id)->strikes, 1u);
  for (const FakeNode* node : {&one, &two}) EXPECT_EQ(ledger->node(node->id)->strikes, 0u);
  EXPECT_TRUE(validator.heard<protocol::Check>().empty());
}

TEST_F(CheckTest, AQuorumOutvotesALiarThatFollows) {
  FakeNode& one = add_miner(4, 300);
  FakeNode& liar = add_miner(4, 200);
  FakeNode& two = add_miner(4, 100);
  FakeNode& validator = add_validator();
  liar.lies_at = 3;
  const Run run = submit(open(quorum(2, 3)));
  for (FakeNode* node : {&one, &liar, &two}) node->run(node->heard<protocol::Assign>().at(0));
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->result->choices[0].outcome, ledger::TaskOutcome::valid);
  EXPECT_EQ(run.heard->result->cost.micro, 220);
  EXPECT_EQ(receipt(*run.heard->result).commitments.size(), 2u);
  EXPECT_EQ(earned(liar.id).micro, 0);
  EXPECT_EQ(ledger->node(liar.id)->strikes, 1u);
  for (const FakeNode* node : {&one, &two}) {
    EXPECT_EQ(earned(node->id).micro, 105);
    EXPECT_EQ(ledger->node(node->id)->strikes, 0u);
  }
  EXPECT_TRUE(validator.heard<protocol::Check>().empty());
}

TEST_F(CheckTest, AQuorumWithoutAMajorityIsDecidedByReplayOrByNobody) {
  FakeNode& honest = add_miner(4, 300);
  FakeNode& one = add_miner(4, 200);
  FakeNode& two = add_miner(4, 100);
  one.lies_at = 3;
  two.lies_at = 5;
  const auto session = open(quorum(2, 3));
  const auto run_all = [&] {
    const Run run = submit(session);
    for (FakeNode* node : {&honest, &one, &two}) node->run(node->heard<protocol::Assign>().back());
    return run;
  };
  const Run undecided = run_all();
  for (int second = 0; second < 61; ++second) {
    for (const auto& node : nodes) node->say(protocol::Heartbeat{});
    executor.advance(std::chrono::seconds(1));
  }
  ASSERT_TRUE(undecided.heard->result);
  EXPECT_EQ(undecided.heard->result->choices[0].outcome, ledger::TaskOutcome::inconclusive);
  EXPECT_EQ(undecided.heard->result->cost.micro, 110);
  for (const FakeNode* node : {&honest, &one, &two}) EXPECT_EQ(ledger->node(node->id)->strikes, 0u);

  FakeNode& validator = add_validator();
  const Run decided = run_all();
  validator.judge();
  ASSERT_TRUE(decided.heard->result);
  EXPECT_EQ(decided.heard->result->choices[0].outcome, ledger::TaskOutcome::valid);
  EXPECT_EQ(decided.heard->result->cost.micro, 138);
  EXPECT_FALSE(quarantined(honest));
  for (const FakeNode* node : {&one, &two}) EXPECT_TRUE(quarantined(*node));
}

TEST_F(CheckTest, AQuorumSurvivesTheLossOfTheOneThatStreams) {
  FakeNode& a = add_miner(4, 300);
  FakeNode& b = add_miner(4, 200);
  FakeNode& c = add_miner(4, 100);
  const Run run = submit(open(quorum(2, 3)));
  a.send_steps(a.heard<protocol::Assign>().at(0), 0, 6);
  b.send_steps(b.heard<protocol::Assign>().at(0), 0, 2);  // behind what the client has
  c.send_steps(c.heard<protocol::Assign>().at(0), 0, 9);
  links.cut(a.link);
  EXPECT_EQ(run.heard->tokens[0], 9u);
  b.send_steps(b.heard<protocol::Assign>().at(0), 2, SIZE_MAX);
  b.submit(b.heard<protocol::Assign>().at(0));
  c.send_steps(c.heard<protocol::Assign>().at(0), 9, SIZE_MAX);
  c.submit(c.heard<protocol::Assign>().at(0));
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->result->choices[0].outcome, ledger::TaskOutcome::valid);
  EXPECT_EQ(run.heard->texts[0], text_of(true_answer(request(), *model, 12), *model));
  EXPECT_EQ(earned(a.id).micro, 0);
}

TEST_F(CheckTest, AQuorumWithTooFewMinersIsRefused) {
  add_miner();
  EXPECT_EQ(submit(open(quorum(2, 3))).task.error().kind, ErrorKind::unavailable);
}

TEST_F(CheckTest, OnlyMinersThatReachWhatTheSessionAsksForCount) {
  FakeNode& chosen = add_miner();
  add_miner();
  ledger::SessionSpec spec = open(quorum(2, 2)).spec;
  spec.service.miners = {chosen.id};
  const auto two = core->sessions().open(spec, executor.wall_now());
  const Run refused = submit(*two);
  ASSERT_FALSE(refused.task);
  EXPECT_EQ(refused.task.error().kind, ErrorKind::unavailable);
  spec.validation = {};
  spec.redundancy = 2;
  const Run run = submit(*core->sessions().open(spec, executor.wall_now()));
  chosen.run(chosen.heard<protocol::Assign>().at(0));
  EXPECT_TRUE(run.heard->result);
}

}  // namespace
}  // namespace cortensor::router
