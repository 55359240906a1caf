// An engine in simulated time that computes the toy model, as a machine of its own speed, or as a liar.
#pragma once

#include <map>
#include <memory>

#include "engine/engine.h"
#include "process.h"
#include "random.h"
#include "toy_answer.h"

namespace cortensor::simulation {

// What a miner does to some of its answers.
enum class Habit : std::uint8_t {
  honest,
  alters_token,   // another token, and goes on from it
  alters_digest,  // the right tokens from a state that is not the model's
  cuts_answer,    // ends it early and says that it had to
  stalls,         // says nothing more
  fails,          // breaks off, for a reason it makes up
  objects,        // says that what it was given is not what it computes
  believes,       // goes on behind whatever it is given
  leaves,         // is gone when it comes to signing
  forges,         // signs something else than it has sent
  talks_on,       // sends steps twice
};
inline constexpr unsigned kHabits = 11;
std::string_view to_string(Habit habit);

// Whether its answers can be other ones than the model's.
inline bool changes_answers(Habit habit) {
  return habit == Habit::alters_token || habit == Habit::alters_digest || habit == Habit::cuts_answer ||
         habit == Habit::believes;
}

struct Machine {
  std::uint32_t number = 0;
  double prefill = 1000, decode = 100;  // tokens per second
  std::uint32_t sequences = 4;
  Habit habit = Habit::honest;
  unsigned lies_percent = 50;
  bool believes_all = false;  // a planted bug: every replay finds the answer valid
  bool doubts_all = false;    // another: every replay finds it wrong
};

class SimEngine final : public engine::Engine {
 public:
  // All of these outlive the engine.
  SimEngine(Process& process, const router::ServedModel& model, const Machine& machine, Random& random);

  const engine::ModelInfo& info() const override { return info_; }
  const engine::Tokenizer& tokenizer() const override { return model_.tokenizer; }
  const engine::ChatTemplate& chat_template() const override { return *model_.chat; }
  std::string_view isa_name() const override { return "scalar"; }
  std::size_t threads() const override { return 1; }
  engine::EngineLoad load_now() const override { return {}; }
  Result<engine::SequenceHandle> submit(engine::Submission submission, engine::Callbacks callbacks) override;
  void cancel(engine::SequenceHandle handle) override;
  Result<engine::SequenceHandle> submit_replay(
      GenerationRequest request, std::vector<Step> claimed, FinishReason finish,
      std::function<void(Result<engine::ReplayResult>)> on_result) override;
  Result<engine::ReplayResult> replay(const GenerationRequest& request, const std::vector<Step>& claimed,
                                      FinishReason finish) override;

 private:
  struct Sequence {
    engine::Submission submission;
    engine::Callbacks callbacks;
    std::function<void(Result<engine::ReplayResult>)> on_result;  // of a replay
    std::unique_ptr<ToyAnswer> answer;
    std::vector<Step> steps;
    Habit habit = Habit::honest;
    std::size_t lies_at = 0;
    std::optional<std::size_t> breaks_off_at;
    bool cancelled = false;
  };

  std::uint64_t add(Sequence sequence, Clock::duration first);
  void run(std::uint64_t id);
  bool one_step(Sequence& sequence);
  Clock::duration time_of(std::size_t tokens, double per_second);
  void end(std::uint64_t id, const std::function<void(Sequence&)>& how);

  Process& process_;
  const router::ServedModel& model_;
  const Machine machine_;
  Random& random_;
  engine::ModelInfo info_;
  std::map<std::uint64_t, Sequence> running_;
  std::uint64_t last_ = 0;
};

}  // namespace cortensor::simulation
