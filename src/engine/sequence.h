// One sequence: what is known of it, which rows it wants computed next, and what follows from each computed
// row. Generation, continuation of somebody else's answer and replay are one state machine: known answer
// tokens are checked against what the model chooses, and behind them a generation goes on where a replay
// ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/generation.h"
#include "engine/constraint.h"
#include "engine/engine.h"
#include "engine/forward.h"
#include "engine/kv_pages.h"
#include "engine/logit_adjuster.h"
#include "engine/text_stream.h"
#include "engine/transcript.h"

namespace cortensor::engine {

// What the model makes of one row: the token that its state chooses for the next position.
struct Choice {
  Step step;
  std::shared_ptr<const Logprobs> logprobs;  // null: not asked for
};

struct ModelLimits {
  std::size_t vocab_size = 0;
  std::size_t context_length = 0;
};

// Where the answer ends, and what may be in it.
struct AnswerRules {
  StopMatcher stops;
  std::optional<Constraint> constraint;  // none: the request has no grammar
};

// Engine thread only.
class Sequence {
 public:
  // Continues `given` (perhaps empty) until the answer ends. The request has passed check_request.
  static Sequence generation(SequenceHandle handle, GenerationRequest request, std::vector<TokenId> given,
                             std::optional<std::uint32_t> logprobs, const ModelLimits& limits,
                             AnswerRules rules);
  // Checks `claimed` position by position.
  static Sequence replay(SequenceHandle handle, GenerationRequest request, std::vector<Step> claimed,
                         FinishReason finish, const ModelLimits& limits, AnswerRules rules);

  SequenceHandle handle() const { return handle_; }
  const GenerationRequest& request() const { return request_; }
  std::optional<std::uint32_t> logprobs() const { return logprobs_; }
  bool is_replay() const { return claimed_finish_.has_value(); }
  // Every state of the prompt is wanted, and no token is chosen.
  bool embeds() const { return request_.embedding > 0; }

  // Tokens at the beginning of every such sequence whose states nobody needs: the whole prompt but its last
  // position, which chooses the first token of the answer; none where the prompt's states make an embedding.
  static std::span<const TokenId> skippable(const GenerationRequest& request) {
    const std::span prompt(request.prompt);
    return prompt.first(request.embedding > 0 ? 0 : prompt.size() - 1);
  }
  // Cache positions it may ever fill.
  static std::size_t worst_case_rows(const GenerationRequest& request, std::size_t context_length);

  // Rows that could be computed now. Row p holds the token at position p.
  std::size_t pending() const { return tokens_.size() - computed_; }
  // The next `count` of them, which count as computed from now on. Borrowed until the next take(). Wanted are
  // the states that choose a token of the transcript, or those that make an embedding.
  ForwardRows next_rows(std::size_t count);
  // Its first rows are in its pages already and need not be computed; at most skippable() ones.
  void skip(std::size_t rows);
  // The tokens whose rows count as computed. Borrowed until the next take().
  std::span<const TokenId> computed() const { return std::span(tokens_).first(computed_); }

  // What a choice leads to: the next transcript step, and perhaps the end of it all.
  struct Outcome {
    std::optional<FinishReason> finished;  // a generation ended
    std::optional<ReplayResult> result;    // a replay ended
    std::optional<Error> error;            // a given token was wrong
    bool over() const { return finished || result || error; }
  };
  // To be called for each row that chooses, in order, until the outcome is over().
  Outcome take(const Choice& choice);

  // Of an embedding: the final state of the next position, and what they add up to once nothing is pending.
  void add_state(std::span<const float> state);
  Result<std::vector<float>> embedding() const;

  // The tokens before the one that transcript position `position` chooses. Borrowed until the next take().
  TokensSoFar so_far(std::size_t position) const;
  // The tokens that the grammar allows there; null: no grammar. To be asked for at rising positions.
  Result<std::shared_ptr<const TokenMask>> allowed(std::size_t position);
  std::size_t steps() const { return transcript_.size(); }  // transcript positions taken so far
  Digest root() const { return transcript_.root(); }
  // Whether the token of that transcript position was handed in.
  bool knows(std::size_t position) const { return is_replay() || position < given_.size(); }

  std::vector<PageId> pages;

 private:
  Sequence(SequenceHandle handle, GenerationRequest request, const ModelLimits& limits, AnswerRules rules);
  // Appends a token whose row shall be computed, unless no honest answer could contain it: known tokens are
  // not trusted, and whatever is wrong with them is found at a row before.
  bool feed(TokenId token);
  Outcome check_claim(std::size_t position, const Step& honest);

  SequenceHandle handle_;
  GenerationRequest request_;
  ModelLimits limits_;
  AnswerRules rules_;
  std::optional<std::uint32_t> logprobs_;
  std::vector<TokenId> given_;                  // generation only: known answer tokens, to be checked
  std::vector<Step> claimed_;                   // replay only
  std::optional<FinishReason> claimed_finish_;  // replay only
  std::vector<TokenId> tokens_;                 // the rows: prompt, known answer, generated answer
  std::size_t computed_ = 0;
  std::vector<double> sums_;  // of an embedding's states,
  std::size_t states_ = 0;    // of so many positions
  MerkleRoot transcript_;
};

}  // namespace cortensor::engine
