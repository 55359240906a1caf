#include "engine/sequence.h"

#include <algorithm>
#include <string>
#include <utility>

#include "arith/embedding.h"
#include "base/check.h"
#include "base/hex.h"

namespace cortensor::engine {

namespace {

ReplayResult wrong(ReplayFinding finding, std::size_t position, std::string expected, std::string found) {
  return {finding, position, std::move(expected), std::move(found)};
}

std::string name(TokenId token) {
  return "token " + std::to_string(token);
}

Error given_error(std::size_t position, const std::string& expected, const std::string& found) {
  return fail(ErrorKind::conflict,
              "given position " + std::to_string(position) + ": expected " + expected + ", found " + found);
}

}  // namespace

Sequence::Sequence(SequenceHandle handle, GenerationRequest request, const ModelLimits& limits,
                   AnswerRules rules)
    : handle_(handle),
      request_(std::move(request)),
      limits_(limits),
      rules_(std::move(rules)),
      tokens_(request_.prompt) {}

Sequence Sequence::generation(SequenceHandle handle, GenerationRequest request, std::vector<TokenId> given,
                              std::optional<std::uint32_t> logprobs, const ModelLimits& limits,
                              AnswerRules rules) {
  Sequence sequence(handle, std::move(request), limits, std::move(rules));
  sequence.logprobs_ = logprobs;
  sequence.given_ = std::move(given);
  for (const TokenId token : sequence.given_)
    if (!sequence.feed(token)) break;
  return sequence;
}

Sequence Sequence::replay(SequenceHandle handle, GenerationRequest request, std::vector<Step> claimed,
                          FinishReason finish, const ModelLimits& limits, AnswerRules rules) {
  Sequence sequence(handle, std::move(request), limits, std::move(rules));
  sequence.claimed_ = std::move(claimed);
  sequence.claimed_finish_ = finish;
  // The last claimed token is chosen by the row before it; its own row chooses nothing that was claimed.
  for (std::size_t i = 0; i + 1 < sequence.claimed_.size(); ++i)
    if (!sequence.feed(sequence.claimed_[i].token)) break;
  return sequence;
}

std::size_t Sequence::worst_case_rows(const GenerationRequest& request, std::size_t context_length) {
  // The last token is never fed back.
  return std::min(request.prompt.size() + request.max_tokens, context_length) - 1;
}

bool Sequence::feed(TokenId token) {
  if (token >= limits_.vocab_size || tokens_.size() >= worst_case_rows(request_, limits_.context_length))
    return false;
  tokens_.push_back(token);
  return true;
}

ForwardRows Sequence::next_rows(std::size_t count) {
  const std::size_t first_wanted = embeds() ? 0 : request_.prompt.size() - 1;
  ForwardRows rows{std::span(tokens_).subspan(computed_, count), computed_, pages, 0};
  computed_ += count;
  rows.outputs = std::min(count, computed_ > first_wanted ? computed_ - first_wanted : 0);
  return rows;
}

void Sequence::add_state(std::span<const float> state) {
  sums_.resize(state.size());
  arith::add_state(sums_, state);
  ++states_;
}

Result<std::vector<float>> Sequence::embedding() const {
  CORTENSOR_CHECK(states_ == request_.prompt.size() && request_.embedding <= sums_.size());
  std::vector<float> elements(request_.embedding);
  if (!arith::direction_of(sums_, elements))
    return fail(ErrorKind::internal, "the embedding is zero, and zero has no direction");
  return elements;
}

void Sequence::skip(std::size_t rows) {
  CORTENSOR_CHECK(computed_ == 0 && rows <= skippable(request_).size());
  computed_ = rows;
}

TokensSoFar Sequence::so_far(std::size_t position) const {
  const std::span<const TokenId> tokens(tokens_);
  const std::size_t prompt = request_.prompt.size();
  return {tokens.first(prompt), tokens.subspan(prompt, position)};
}

Result<std::shared_ptr<const TokenMask>> Sequence::allowed(std::size_t position) {
  if (!rules_.constraint) return std::shared_ptr<const TokenMask>();
  Constraint& constraint = *rules_.constraint;
  const std::span<const TokenId> answer = so_far(position).answer;
  while (constraint.fed() < position) constraint.feed(answer[constraint.fed()]);
  return constraint.allowed();
}

Sequence::Outcome Sequence::take(const Choice& choice) {
  const std::size_t position = steps();
  if (is_replay()) return check_claim(position, choice.step);
  Outcome outcome;
  if (position < given_.size() && given_[position] != choice.step.token) {
    outcome.error = given_error(position, name(choice.step.token), name(given_[position]));
    return outcome;
  }
  transcript_.add(choice.step);
  outcome.finished = rules_.stops.feed(choice.step.token);
  if (outcome.finished && position + 1 < given_.size()) {
    outcome.finished.reset();
    outcome.error = given_error(position + 1, "the end", name(given_[position + 1]));
  }
  if (!outcome.over() && position >= given_.size()) CORTENSOR_CHECK(feed(choice.step.token));
  return outcome;
}

Sequence::Outcome Sequence::check_claim(std::size_t position, const Step& honest) {
  Outcome outcome;
  const auto end_with = [&](ReplayFinding finding, std::size_t where, std::string expected,
                            std::string found) {
    outcome.result = wrong(finding, where, std::move(expected), std::move(found));
    return outcome;
  };
  if (position == claimed_.size())
    return end_with(ReplayFinding::no_end, position, name(honest.token), "the end");
  const Step& claimed = claimed_[position];
  if (claimed.token != honest.token)
    return end_with(ReplayFinding::token_differs, position, name(honest.token), name(claimed.token));
  if (claimed.digest != honest.digest)
    return end_with(ReplayFinding::digest_differs, position, to_hex(honest.digest), to_hex(claimed.digest));
  transcript_.add(honest);

  const bool last = position + 1 == claimed_.size();
  const std::optional<FinishReason> end = rules_.stops.feed(honest.token);
  if (end && !last)
    return end_with(ReplayFinding::past_end, position + 1, "the end", name(claimed_[position + 1].token));
  if (!end && last) return end_with(ReplayFinding::no_end, position + 1, "another token", "the end");
  if (last && *end != *claimed_finish_)
    return end_with(ReplayFinding::wrong_reason, position, std::string(to_string(*end)),
                    std::string(to_string(*claimed_finish_)));
  if (last) outcome.result = ReplayResult{ReplayFinding::valid, claimed_.size(), {}, {}};
  return outcome;
}

}  // namespace cortensor::engine
