// Claims: without the model, a receipt with one token changed is named as tampered with, although everything
// else in it is honest and the router has signed it as it stands.
#include "verify/receipt_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/sha256.h"
#include "engine/transcript.h"
#include "protocol/canonical.h"

namespace cortensor::verify {
namespace {

crypto::PrivateKey key_of(std::string_view name) {
  return crypto::PrivateKey::from_seed(crypto::sha256(bytes_of(name)));
}

// Unchecked and free of charge: the papers are request, transcript and commitment.
protocol::Receipt sample() {
  protocol::Receipt receipt;
  receipt.id = "rcpt_1";
  receipt.router = key_of("router").node_id();
  receipt.model.weights = crypto::sha256(bytes_of("weights"));
  receipt.request.prompt = {1, 2, 3};
  receipt.request.max_tokens = 5;
  for (TokenId token = 40; token < 45; ++token)
    receipt.steps.push_back({token, engine::position_digest(std::vector<float>{1.0f}, token)});
  protocol::Commitment commitment;
  commitment.arithmetic_version = 1;
  commitment.model = receipt.model.weights;
  commitment.request = protocol::request_digest(receipt.model.weights, receipt.request);
  commitment.attempt = AttemptId("att_1");
  commitment.count = 5;
  commitment.root = engine::transcript_root(receipt.steps);
  commitment.finish = FinishReason::length;
  commitment.miner = key_of("miner").node_id();
  commitment.signature = key_of("miner").sign(protocol::signed_bytes(commitment));
  receipt.commitments = {commitment};
  receipt.bill.prompt_tokens = 3;
  receipt.bill.completion_tokens = 5;
  receipt.signature = key_of("router").sign(protocol::signed_bytes(receipt));
  return receipt;
}

TEST(ReceiptPapers, OfAnHonestReceiptAreRight) {
  EXPECT_THAT(check_papers(sample()), testing::IsEmpty());
}

TEST(ReceiptPapers, NameATokenThatTheRouterChanged) {
  for (std::size_t i = 0; i < sample().steps.size(); ++i) {
    protocol::Receipt receipt = sample();
    receipt.steps[i].token += 1;
    receipt.signature = key_of("router").sign(protocol::signed_bytes(receipt));
    EXPECT_THAT(check_papers(receipt),
                testing::ElementsAre(testing::HasSubstr("a token or digest was changed")));
  }
}

}  // namespace
}  // namespace cortensor::verify
