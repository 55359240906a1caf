#include "fake_network.h"

#include <algorithm>

#include "base/bytes.h"
#include "crypto/sha256.h"
#include "engine/transcript.h"
#include "protocol/canonical.h"

namespace cortensor::router {

namespace {

Step embedding_step(const std::vector<float>& elements) {
  return {kEmbeddingToken, engine::position_digest(elements, kEmbeddingToken)};
}

}  // namespace

std::vector<float> true_embedding(const GenerationRequest& request) {
  std::vector<float> elements;
  for (std::uint32_t i = 0; i < request.embedding; ++i) {
    elements.push_back(0.1f);
    for (const TokenId token : request.prompt)
      elements.back() += static_cast<float>(token * (i + 1) % 7) / 64.0f - 0.05f;
  }
  return elements;
}

std::vector<Step> true_answer(const GenerationRequest& request, const ServedModel& model,
                              std::size_t length) {
  std::vector<Step> steps;
  if (request.embedding > 0) return {embedding_step(true_embedding(request))};
  while (steps.size() < request.max_tokens && request.prompt.size() + steps.size() < kContext) {
    ByteWriter writer;
    writer.number(request.sampling.seed);
    writer.number(request.prompt.size() + steps.size());
    const Digest state = crypto::sha256(writer.bytes());
    Step step;
    step.token = steps.size() < length ? 'a' + state[0] % 26u : *model.tokenizer.eot();
    writer.number(step.token);
    step.digest = crypto::sha256(writer.bytes());
    steps.push_back(step);
    if (steps.size() > length) break;
  }
  return steps;
}

std::string text_of(const std::vector<Step>& steps, const ServedModel& model) {
  std::string text;
  for (const Step& step : steps) text += model.tokenizer.token_bytes(step.token);
  return text;
}

FinishReason true_finish(const GenerationRequest& request, const std::vector<Step>& steps) {
  const auto& stops = request.stop_tokens;
  return std::find(stops.begin(), stops.end(), steps.back().token) != stops.end() ? FinishReason::stop
                                                                                  : FinishReason::length;
}

void FakeLinks::cut(protocol::LinkId link) {
  if (closed.contains(link)) return;
  closed[link] = true;
  events_->on_closed(link, fail(ErrorKind::unavailable, "cut"));
}

void FakeLinks::send(protocol::LinkId link, protocol::RouterMessage message) {
  if (closed.contains(link)) return;
  sent[link].push_back(message);
  if (on_sent) executor_.post([this, link, message = std::move(message)] { on_sent(link, message); });
}

void FakeLinks::close(protocol::LinkId link, const Error& why) {
  if (closed.contains(link)) return;
  closed[link] = true;
  executor_.post([this, link, why] { events_->on_closed(link, why); });
}

FakeNode::FakeNode(FakeLinks& links, protocol::RouterLinkEvents& router, const ServedModel& model,
                   protocol::Role what, std::uint8_t seed)
    : key(crypto::PrivateKey::from_seed([seed] {
        Bytes32 bytes{};
        bytes.fill(seed);
        return bytes;
      }())),
      id(key.node_id()),
      role(what),
      links_(links),
      router_(router),
      model_(model) {}

protocol::Hello FakeNode::hello(std::string token, std::uint32_t slots, double speed) const {
  protocol::Hello hello;
  hello.arithmetic_version = kArithmetic;
  hello.role = role;
  hello.node = id;
  hello.join_token = std::move(token);
  hello.models = {{model_.manifest, 10 * speed, speed}};
  hello.slots = slots;
  hello.isa = "scalar";
  return hello;
}

void FakeNode::attach(const std::string& token, std::uint32_t slots, double speed) {
  link = links_.open();
  router_.on_hello(link, id, hello(token, slots, speed));
}

std::vector<Step> FakeNode::answer(const protocol::Assign& assign) const {
  std::vector<Step> steps = true_answer(assign.request, model_, length);
  if (alters_embeddings) steps = {embedding_step(embedding(assign))};
  if (lies_at && *lies_at < steps.size()) steps[*lies_at].token = '!';
  if (wrong_digest_at && *wrong_digest_at < steps.size()) steps[*wrong_digest_at].digest.fill(0);
  if (cuts_at && *cuts_at < steps.size()) steps.resize(*cuts_at);
  return steps;
}

std::vector<float> FakeNode::embedding(const protocol::Assign& assign) const {
  std::vector<float> elements = true_embedding(assign.request);
  if (alters_embeddings) elements.front() += 0.5f;
  return elements;
}

void FakeNode::send_steps(const protocol::Assign& assign, std::size_t first, std::size_t end) {
  const std::vector<Step> steps = answer(assign);
  for (std::size_t i = first; i < std::min(end, steps.size()); ++i)
    say(protocol::Steps{assign.attempt, static_cast<std::uint32_t>(i), {steps[i]}, {}, embedding(assign)});
}

protocol::Commitment FakeNode::commitment(const protocol::Assign& assign) const {
  const std::vector<Step> steps = answer(assign);
  protocol::Commitment commitment;
  commitment.arithmetic_version = kArithmetic;
  commitment.model = assign.model;
  commitment.request = protocol::request_digest(assign.model, assign.request);
  commitment.attempt = assign.attempt;
  commitment.count = static_cast<std::uint32_t>(steps.size());
  commitment.root = engine::transcript_root(steps);
  commitment.finish = cuts_at ? FinishReason::stop : true_finish(assign.request, steps);
  commitment.miner = id;
  commitment.signature = key.sign(protocol::signed_bytes(commitment));
  return commitment;
}

protocol::Commitment FakeNode::beginning(const protocol::Assign& assign, std::size_t count) const {
  const std::vector<Step> steps = answer(assign);
  protocol::Commitment commitment = this->commitment(assign);
  commitment.count = static_cast<std::uint32_t>(count);
  commitment.root = engine::transcript_root(std::span(steps).first(count));
  commitment.finish.reset();
  commitment.signature = key.sign(protocol::signed_bytes(commitment));
  return commitment;
}

protocol::Verdict FakeNode::verdict(const protocol::Check& check) const {
  const std::vector<Step> truth = true_answer(check.request, model_, length);
  const auto [wrong, said] =
      std::mismatch(truth.begin(), truth.end(), check.steps.begin(), check.steps.end());
  const bool valid = wrong == truth.end() && said == check.steps.end();
  protocol::Verdict verdict;
  verdict.commitment = protocol::commitment_digest(check.commitment);
  verdict.outcome = valid ? protocol::Outcome::valid : protocol::Outcome::invalid;
  verdict.first_wrong = valid ? 0 : static_cast<std::uint32_t>(wrong - truth.begin());
  verdict.validator = id;
  verdict.signature = key.sign(protocol::signed_bytes(verdict));
  return verdict;
}

}  // namespace cortensor::router
