// One miner's run of one choice, as the router sees it: the transcript so far, checked for form as it
// arrives.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "base/generation.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/runtime/executor.h"
#include "engine/text_stream.h"
#include "engine/transcript.h"
#include "protocol/message.h"
#include "router/core/node_table.h"

namespace cortensor::router {

class Attempt {
 public:
  // `given`: steps made by an earlier miner that this one continues. `tokenizer` outlives the attempt.
  Attempt(AttemptId id, NodeId miner, Engagement engagement, std::vector<Step> given,
          const GenerationRequest& request, const engine::Tokenizer& tokenizer, std::uint32_t context_length,
          Clock::time_point now);

  // Takes the next steps. A continued attempt may begin at 0, recomputing what was given, or behind it.
  // conflict: they do not follow on, go past the answer's end, or contradict a given token; the attempt is
  // then of no more use.
  Status take(const protocol::Steps& message, Clock::time_point now);

  // Accepts the miner's final word when it speaks of exactly these steps and is signed by this miner.
  // conflict: it does not. Whether the end it claims follows from the tokens is another question:
  // false_end().
  Status finish(const protocol::Submission& message, std::uint32_t arithmetic_version, const Digest& model,
                const Digest& request);
  // Accepts a signature over all steps so far, as finish() does: after each multiple of `segment_tokens`, and
  // when there is more than was given.
  Status sign(const protocol::Segment& message, std::uint32_t segment_tokens,
              std::uint32_t arithmetic_version, const Digest& model, const Digest& request);

  const AttemptId& id() const { return id_; }
  const NodeId& miner() const { return miner_; }
  protocol::LinkId link() const { return engagement_.link; }
  Engagement& engagement() { return engagement_; }
  const Engagement& engagement() const { return engagement_; }
  const std::vector<Step>& given() const { return given_; }
  const std::vector<Step>& steps() const { return steps_; }
  const std::vector<Logprobs>& logprobs() const { return logprobs_; }  // one per step, or fewer; NaN: unknown
  const std::vector<float>& embedding() const { return embedding_; }   // of the one step, when asked for
  std::optional<FinishReason> ended() const { return ended_; }         // by the stop rule
  Clock::time_point last_progress() const { return last_progress_; }
  bool started() const { return started_; }
  // It has yet to reproduce steps that were given to it.
  bool catching_up() const { return steps_.size() < given_.size(); }
  // A digest of a given position came out differently: one of the two miners is wrong.
  bool contradicts_given() const { return contradicts_given_; }
  // Steps beyond those that were given.
  std::size_t fresh() const { return catching_up() ? 0 : steps_.size() - given_.size(); }
  // Decode speed seen from the first message of new steps until then; none when too little was seen.
  std::optional<double> tokens_per_second(Clock::time_point until) const;
  // Since when the next kStride new steps are awaited.
  static constexpr std::size_t kStride = 16;
  Clock::time_point stride_since() const { return stride_since_; }
  const std::optional<protocol::Commitment>& commitment() const { return commitment_; }  // once finished
  std::uint32_t cached_tokens() const { return cached_tokens_; }  // of the prompt, as the miner says
  bool false_end() const { return commitment_ && ended_ != commitment_->finish; }

 private:
  Status take_embedding(const protocol::Steps& message);
  Status take_one(const Step& step, Logprobs logprobs);
  Status adopt_given();
  void hash_steps();
  Status accept(const protocol::Commitment& made, std::uint32_t arithmetic_version, const Digest& model,
                const Digest& request);

  AttemptId id_;
  NodeId miner_;
  Engagement engagement_;
  const std::uint32_t elements_;  // of the embedding asked for; 0: an answer
  std::vector<Step> given_;
  std::vector<Step> steps_;
  std::vector<Logprobs> logprobs_;
  std::vector<float> embedding_;
  engine::MerkleRoot merkle_;
  std::size_t hashed_ = 0;  // steps that merkle_ has
  engine::StopMatcher matcher_;
  std::optional<FinishReason> ended_;
  std::optional<protocol::Commitment> commitment_;
  std::uint32_t cached_tokens_ = 0;
  bool started_ = false;
  bool contradicts_given_ = false;
  Clock::time_point last_progress_;
  Clock::time_point first_new_at_;
  std::size_t first_new_ = 0;  // steps there were after the first message of new ones
  Clock::time_point stride_since_;
  std::size_t stride_first_ = 0;  // steps there were then
  std::size_t signed_ = 0;        // steps that it has signed
};

}  // namespace cortensor::router
