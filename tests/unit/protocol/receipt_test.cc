// Claims: a receipt reads back from JSON as it was; every signature and sum in it is checked, and what was
// tampered with is named.
#include "protocol/receipt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "base/hex.h"
#include "crypto/sha256.h"
#include "protocol/canonical.h"

namespace cortensor::protocol {
namespace {

using testing::HasSubstr;

crypto::PrivateKey key_of(std::string_view name) {
  return crypto::PrivateKey::from_seed(crypto::sha256(bytes_of(name)));
}

const Digest kRoot = crypto::sha256(bytes_of("root"));
Digest root_of(std::span<const Step> steps) {
  return steps.size() == 2 ? kRoot : crypto::sha256(bytes_of(std::to_string(steps.size())));
}

void sign(Receipt& receipt) {
  receipt.signature = key_of("router").sign(signed_bytes(receipt));
}

Receipt sample() {
  Receipt receipt;
  receipt.id = "rcpt_1";
  receipt.issued_ms = 1'700'000'000'000;
  receipt.router = key_of("router").node_id();
  receipt.session = SessionId("sess_1");
  receipt.task = TaskId("task_1");
  receipt.level = ValidationLevel::full;
  receipt.model = {"tiny:q8_0", "llama", "q8_0", crypto::sha256(bytes_of("w")), crypto::sha256(bytes_of("t")),
                   64,          32};
  receipt.request.prompt = {1, 2, 3};
  receipt.request.sampling = {
      0.7f, 0.9f, 0.05f, 40, 0xffffffffffffffffu, 1.1f, 0.25f, -0.5f, {{3, -100.0f}, {8, 0.1f}}};
  receipt.request.max_tokens = 4;
  receipt.request.stop_tokens = {9};
  receipt.request.stop_strings = {"\n\n"};
  receipt.request.grammar = "root ::= \"é\"*";
  receipt.steps = {{5, crypto::sha256(bytes_of("a"))}, {9, crypto::sha256(bytes_of("b"))}};

  Commitment commitment;
  commitment.arithmetic_version = 1;
  commitment.model = receipt.model.weights;
  commitment.request = request_digest(receipt.model.weights, receipt.request);
  commitment.attempt = AttemptId("att_1");
  commitment.count = 2;
  commitment.root = kRoot;
  commitment.miner = key_of("miner").node_id();
  commitment.signature = key_of("miner").sign(signed_bytes(commitment));
  receipt.commitments = {commitment};

  Verdict verdict;
  verdict.commitment = commitment_digest(commitment);
  verdict.outcome = Outcome::valid;
  verdict.validator = key_of("validator").node_id();
  verdict.signature = key_of("validator").sign(signed_bytes(verdict));
  receipt.verdicts = {verdict};

  // 3 prompt tokens at 2 and 2 answer tokens at 8 micro-credits: 22, and a quarter of it, rounded up, for the
  // check.
  receipt.bill = {3,
                  2,
                  2'000'000,
                  8'000'000,
                  28,
                  {{Payment::Kind::miner, commitment.miner, 21},
                   {Payment::Kind::validator, verdict.validator, 6},
                   {Payment::Kind::router, receipt.router, 1}}};
  sign(receipt);
  return receipt;
}

TEST(Receipt, HasNoProblemsAndReadsBackFromJson) {
  const Receipt receipt = sample();
  EXPECT_THAT(problems_of(receipt, root_of), testing::IsEmpty());
  const auto read = receipt_from_json(receipt_to_json(receipt));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, receipt);
}

// Golden: these bytes are what nodes sign; a change breaks every receipt ever issued and needs a new form
// version.
TEST(Receipt, CanonicalBytesAreFrozen) {
  EXPECT_EQ(to_hex(receipt_digest(sample())),
            "6d55e7288da194b06c29158459bae89d501ea54bfc41c0249a52b26b6d88e47b");
}

TEST(Receipt, NamesWhatWasTamperedWith) {
  struct Case {
    std::function<void(Receipt&)> tamper;
    std::string expected;
  };
  const std::vector<Case> cases = {
      {[](Receipt& r) { r.request.prompt[1] = 7; }, "the prompt or a parameter was changed"},
      {[](Receipt& r) { r.request.sampling.temperature = 0; }, "the prompt or a parameter was changed"},
      {[](Receipt& r) { r.request.sampling.repetition_penalty = 1; },
       "the prompt or a parameter was changed"},
      {[](Receipt& r) { r.request.sampling.logit_bias[1].bias = 0.2f; },
       "the prompt or a parameter was changed"},
      {[](Receipt& r) { r.request.grammar += ' '; }, "the prompt or a parameter was changed"},
      {[](Receipt& r) { r.request.embedding = 1; }, "the prompt or a parameter was changed"},
      {[](Receipt& r) { r.model.weights[0] ^= 1; }, "commitment 0: expected model"},
      {[](Receipt& r) { r.steps.pop_back(); }, "expected 2 positions in the transcript, found 1"},
      {[](Receipt& r) { r.commitments[0].finish = FinishReason::length; }, "signature is not of miner"},
      {[](Receipt& r) { r.commitments.clear(); }, "expected at least one"},
      {[](Receipt& r) { r.verdicts[0].outcome = Outcome::invalid; }, "signature is not of validator"},
      {[](Receipt& r) { r.bill.total = 29; }, "add up to the total 29"},
      {[](Receipt& r) { r.bill.prompt_tokens = 4; }, "expected 3 prompt tokens"},
      {[](Receipt& r) { r.bill.total += 100, r.bill.payments[0].amount += 100; },
       "expected at most 28 micro-credits"},
      {[](Receipt& r) { r.id = "rcpt_2"; }, "signature is not of router"},
      {[](Receipt& r) { r.signature[0] ^= 1; }, "signature is not of router"},
  };
  for (const Case& c : cases) {
    Receipt receipt = sample();
    c.tamper(receipt);
    EXPECT_THAT(problems_of(receipt, root_of), testing::Contains(HasSubstr(c.expected)));
  }
  EXPECT_THAT(problems_of(sample(), [](auto) { return Digest{}; }),
              testing::Contains(HasSubstr("a token or digest was changed")));
}

TEST(Receipt, ARouterThatSignsOverchargingIsStillCaught) {
  Receipt receipt = sample();
  receipt.bill.total += 1;
  receipt.bill.payments[0].amount += 1;
  sign(receipt);
  EXPECT_THAT(problems_of(receipt, root_of), testing::ElementsAre(HasSubstr("expected at most 28")));
}

// Another miner made the first of two tokens, and signed it.
Receipt moved() {
  Receipt receipt = sample();
  Commitment segment = receipt.commitments[0];
  segment.attempt = AttemptId("att_0");
  segment.count = 1;
  segment.root = root_of(std::span(receipt.steps).first(1));
  segment.finish.reset();
  segment.miner = key_of("first miner").node_id();
  segment.signature = key_of("first miner").sign(signed_bytes(segment));
  receipt.commitments.push_back(segment);
  receipt.bill.payments[0].amount = 11;
  receipt.bill.payments.insert(receipt.bill.payments.begin() + 1, {Payment::Kind::miner, segment.miner, 10});
  sign(receipt);
  return receipt;
}

TEST(Receipt, OfAMovedAnswerHasWhoSignedItsBeginning) {
  const Receipt receipt = moved();
  EXPECT_THAT(problems_of(receipt, root_of), testing::IsEmpty());
  const auto read = receipt_from_json(receipt_to_json(receipt));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, receipt);

  struct Case {
    std::function<void(Receipt&)> tamper;
    std::string expected;
  };
  const std::vector<Case> cases = {
      {[](Receipt& r) { r.commitments[1].finish = FinishReason::stop; },
       "commitment 1: the signature is not of miner"},
      {[](Receipt& r) { r.commitments[0].finish.reset(); }, "commitment 0: it is not to a whole answer"},
      {[](Receipt& r) { r.commitments[1].root = kRoot; }, "commitment 1: expected transcript root"},
      {[](Receipt& r) { r.commitments[1].count = 3; }, "commitment 1: expected 3 positions"},
      {[](Receipt& r) { r.commitments.push_back(r.commitments[1]); },
       "commitment 2: expected more than the 1 positions signed before it, found 1"},
      {[](Receipt& r) { r.bill.payments[0].amount += 3, r.bill.payments[1].amount -= 3; },
       "not divided by the tokens"},
      {[](Receipt& r) { r.bill.total += 22, r.bill.payments[0].amount += 22; },
       "expected at most 28 micro-credits"},
      {[](Receipt& r) {
         r.verdicts[0].validator = r.commitments[1].miner;
         r.verdicts[0].signature = key_of("first miner").sign(signed_bytes(r.verdicts[0]));
       },
       "a miner judged its own work"},
  };
  for (const Case& c : cases) {
    Receipt tampered = moved();
    c.tamper(tampered);
    EXPECT_THAT(problems_of(tampered, root_of), testing::Contains(HasSubstr(c.expected)));
  }
}

TEST(Receipt, DividesByTokensAndLosesNothing) {
  Commitment whole = sample().commitments[0];
  whole.count = 7;
  std::vector<Commitment> segments(3, whole);
  const std::vector<std::string> miners{std::string(64, 'a'), std::string(64, 'b'), whole.miner.value};
  for (std::uint32_t i = 0; i < 3; ++i) {
    segments[i].count = 2 * i + 2;
    segments[i].miner = NodeId(miners[i]);
  }
  using testing::ElementsAre;
  const auto payment = [&](std::size_t i, std::int64_t amount) {
    return Payment{Payment::Kind::miner, NodeId(miners[i]), amount};
  };
  EXPECT_THAT(divide(100, whole, segments), ElementsAre(payment(2, 44), payment(0, 28), payment(1, 28)));
  EXPECT_THAT(divide(0, whole, segments), ElementsAre(payment(2, 0), payment(0, 0), payment(1, 0)));
  EXPECT_THAT(divide(100, whole, {}), ElementsAre(payment(2, 100)));
  const std::int64_t most = 1'000'000'000'000'000;
  whole.count = 131'072;
  segments.resize(1);
  EXPECT_THAT(divide(most, whole, segments),
              ElementsAre(payment(2, most - most / 65'536), payment(0, most / 65'536)));
}

TEST(Receipt, OfAnEmbeddingBillsNoAnswer) {
  Receipt receipt = sample();
  receipt.request.embedding = 64;
  EXPECT_THAT(problems_of(receipt, root_of),
              testing::Contains(HasSubstr("expected 0 completion tokens, found 2")));
  receipt.bill.completion_tokens = 0;
  EXPECT_THAT(problems_of(receipt, root_of),
              testing::Contains(HasSubstr("expected at most 8 micro-credits")));
  receipt.bill.total = 8;
  receipt.bill.payments = {{Payment::Kind::miner, receipt.commitments[0].miner, 8}};
  EXPECT_THAT(problems_of(receipt, root_of), testing::Not(testing::Contains(HasSubstr("bill"))));
  EXPECT_EQ(receipt_from_json(receipt_to_json(receipt))->request.embedding, 64u);
}

TEST(Receipt, RefusesMalformedJsonByField) {
  const auto message = [](std::string from, std::string to) {
    std::string json = receipt_to_json(sample());
    json.replace(json.find(from), from.size(), to);
    const auto read = receipt_from_json(json);
    return read ? std::string("accepted") : read.error().message;
  };
  EXPECT_THAT(message("\"version\": 1", "\"version\": 2"),
              HasSubstr("version: expected an integer from 1 to 1"));
  EXPECT_THAT(message("\"count\": 2", "\"count\": -2"), HasSubstr("commitments[0].count"));
  EXPECT_THAT(message("\"choice\"", "\"chance\""), HasSubstr("choice: missing"));
  EXPECT_THAT(message("\"choice\": 0", "\"choice\": 0, \"extra\": 1"),
              HasSubstr("receipt field extra: does not belong there"));
  EXPECT_THAT(message("\"outcome\": \"VALID\"", "\"outcome\": \"FINE\""),
              HasSubstr("verdicts[0].outcome: unknown value"));
  EXPECT_THAT(message("\"root\": \"", "\"root\": \"zz"), HasSubstr("commitments[0].root"));
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"\"version\": 1", "\"transcript\": [], \"version\": 1"},
           {"\"total\": 28", "\"total\": 29, \"total\": 28"},
           {"\"token\": 5", "\"token\": 6, \"token\": 5"},
           {"\"issued_ms\"", "\"choice\": {\"choice\": 0, \"choi\\u0063e\": 0}, \"issued_ms\""}}) {
    const std::string key = to.substr(1, to.find('"', 1) - 1);
    EXPECT_EQ(message(from, to), "receipt field " + key + ": is there twice");
  }
  EXPECT_FALSE(receipt_from_json("not json"));
  EXPECT_FALSE(receipt_from_json("[]"));
  const std::string marked = "\xef\xbb\xbf" + receipt_to_json(sample());
  EXPECT_EQ(receipt_from_json(marked).error().message, "receipt: expected JSON, found a byte order mark");
  EXPECT_FALSE(receipt_from_json(""));
}

}  // namespace
}  // namespace cortensor::protocol
