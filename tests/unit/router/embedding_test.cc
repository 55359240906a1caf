// Claims: an embedding is delivered once, whole and signed; only its prompt is paid for; what does not fit
// its digest is a breach, what fits but is not the model's is found INVALID, refunded, and its miner out; a
// lost miner's place is taken by another that starts afresh.
#include <gmock/gmock.h>

#include "world.h"

namespace cortensor::router {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

class EmbeddingTest : public World {
 protected:
  GenerationRequest embed(TokenId letter = 'h') const {
    return embedding_request({*model->tokenizer.bos(), letter, 'i'}, model->dim);
  }
  static protocol::Assign assigned(const FakeNode& miner, std::size_t n = 0) {
    return miner.heard<protocol::Assign>().at(n);
  }
};

TEST_F(EmbeddingTest, IsCheckedAndOnlyItsPromptIsPaidFor) {
  FakeNode& miner = add_miner();
  FakeNode& validator = add_validator();
  const auto session = open(full());
  ASSERT_TRUE(ledger->set_price(model->manifest.id, {Credits{40'000'000}, Credits{9'000'000}}));
  const Run run = submit(session, {embed()});
  EXPECT_EQ(assigned(miner).request, embed());
  miner.send_steps(assigned(miner), 0, SIZE_MAX);
  EXPECT_THAT(run.heard->embeddings, IsEmpty());  // nobody has signed it yet
  miner.submit(assigned(miner));
  validator.judge();
  EXPECT_THAT(run.heard->embeddings, ElementsAre(Pair(0, true_embedding(embed()))));
  ASSERT_TRUE(run.heard->result);
  const ChoiceResult& choice = run.heard->result->choices[0];
  EXPECT_EQ(choice.outcome, ledger::TaskOutcome::valid);
  EXPECT_EQ(choice.prompt_tokens, 3u);
  EXPECT_EQ(choice.completion_tokens, 0u);
  EXPECT_EQ(earned(miner.id).micro, 114);     // 3 tokens at 40, less 5 %
  EXPECT_EQ(earned(validator.id).micro, 30);  // a quarter of 120
  EXPECT_EQ(hold(session).micro, 1'000'000 - 150);
  EXPECT_EQ(receipt(*run.heard->result).steps, true_answer(embed(), *model, 0));
}

TEST_F(EmbeddingTest, ABatchHasAReceiptEach) {
  FakeNode& miner = add_miner(2);
  const Run run = submit(open(), {embed('a'), embed('b'), embed('c')});
  for (std::size_t i = 0; i < 3; ++i) miner.run(assigned(miner, i));
  ASSERT_TRUE(run.heard->result);
  EXPECT_THAT(run.heard->embeddings,
              ElementsAre(Pair(0, true_embedding(embed('a'))), Pair(1, true_embedding(embed('b'))),
                          Pair(2, true_embedding(embed('c')))));
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(receipt(*run.heard->result, i).request.prompt[1], 'a' + i);
}

TEST_F(EmbeddingTest, AnAlteredOneIsFoundInvalidAndRefunded) {
  FakeNode& liar = add_miner();
  FakeNode& validator = add_validator();
  const auto session = open(full());
  liar.alters_embeddings = true;
  const Run run = submit(session, {embed()});
  liar.run(assigned(liar));
  validator.judge();
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->result->choices[0].outcome, ledger::TaskOutcome::invalid);
  EXPECT_EQ(hold(session).micro, 1'000'000);
  EXPECT_THAT(receipt(*run.heard->result).bill.payments, IsEmpty());
  executor.run();
  EXPECT_TRUE(quarantined(liar));
}

TEST_F(EmbeddingTest, WhatDoesNotFitIsABreachAndAnotherMinerIsAsked) {
  const auto breaches = [&](auto change) {
    FakeNode& liar = add_miner(1, 900);
    FakeNode& honest = add_miner(1, 100);
    const Run run = submit(open(), {embed()});
    protocol::Steps message{assigned(liar).attempt, 0, liar.answer(assigned(liar)), {}};
    message.embedding = liar.embedding(assigned(liar));
    change(message);
    liar.say(message);
    EXPECT_EQ(ledger->node(liar.id)->strikes, 1u);
    honest.run(assigned(honest));
    EXPECT_TRUE(run.heard->result);
    EXPECT_THAT(run.heard->embeddings, ElementsAre(Pair(0, true_embedding(embed()))));
    links.cut(liar.link);
    links.cut(honest.link);
  };
  breaches([](protocol::Steps& m) { m.embedding[3] += 0.25f; });
  breaches([](protocol::Steps& m) { m.embedding.clear(); });
  breaches([](protocol::Steps& m) { m.embedding.push_back(0); });
  breaches([](protocol::Steps& m) { m.steps[0].token = 1; });
  breaches([](protocol::Steps& m) { m.steps[0].digest[0] ^= 1; });
}

TEST_F(EmbeddingTest, NobodyAskedForOneBesideAnAnswer) {
  FakeNode& miner = add_miner();
  submit(open());
  miner.say(protocol::Steps{assigned(miner).attempt, 0, {miner.answer(assigned(miner))[0]}, {}, {1.0f}});
  EXPECT_EQ(ledger->node(miner.id)->strikes, 1u);
}

TEST_F(EmbeddingTest, ALostMinersPlaceIsTakenByOneThatStartsAfresh) {
  FakeNode& lost = add_miner(1, 900);
  FakeNode& next = add_miner(1, 100);
  const Run run = submit(open(), {embed()});
  lost.send_steps(assigned(lost), 0, SIZE_MAX);
  links.cut(lost.link);
  EXPECT_THAT(assigned(next).given, IsEmpty());
  next.run(assigned(next));
  ASSERT_TRUE(run.heard->result);
  EXPECT_THAT(run.heard->embeddings, ElementsAre(Pair(0, true_embedding(embed()))));
  EXPECT_THAT(run.heard->result->choices[0].miners, ElementsAre(next.id));
}

TEST_F(EmbeddingTest, AQuorumComparesThem) {
  FakeNode& one = add_miner(1, 300);
  FakeNode& two = add_miner(1, 200);
  FakeNode& liar = add_miner(1, 1);
  liar.alters_embeddings = true;
  const Run run = submit(open(quorum(2, 3)), {embed()});
  for (FakeNode* node : {&one, &two, &liar}) node->run(assigned(*node));
  ASSERT_TRUE(run.heard->result);
  EXPECT_EQ(run.heard->result->choices[0].outcome, ledger::TaskOutcome::valid);
  EXPECT_THAT(run.heard->embeddings, ElementsAre(Pair(0, true_embedding(embed()))));
  EXPECT_EQ(earned(liar.id).micro, 0);
  EXPECT_EQ(ledger->node(liar.id)->strikes, 1u);
}

TEST_F(EmbeddingTest, ThatNoModelCouldMakeIsRefusedBeforeAnythingIsHeld) {
  add_miner();
  const auto session = open();
  GenerationRequest request = embed();
  request.stop_tokens = {7};
  EXPECT_EQ(submit(session, {request}).task.error().kind, ErrorKind::invalid_input);
  EXPECT_EQ(hold(session).micro, 1'000'000);
}

}  // namespace
}  // namespace cortensor::router
