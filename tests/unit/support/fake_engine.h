// An engine for tests of the roles: no model, the test says what it computes and when. The roles' own code is
// real.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "crypto/sha256.h"
#include "engine/chat_template.h"
#include "engine/engine.h"
#include "engine/tokenizer.h"

namespace cortensor {

class FakeEngine final : public engine::Engine {
 public:
  FakeEngine() {
    info_.architecture = "llama";
    info_.quantisation = "q8_0";
    info_.context_length = 64;
    info_.vocab_size = 100;
    info_.weights_digest = crypto::sha256(bytes_of("weights"));
  }

  struct Running {
    engine::Submission submission;
    engine::Callbacks callbacks;
  };
  std::map<std::uint64_t, Running> running;
  std::vector<std::uint64_t> cancelled;
  std::optional<Error> refusal;  // the next submit fails with this
  std::map<std::uint64_t, std::function<void(Result<engine::ReplayResult>)>> replays;

  const engine::ModelInfo& info() const override { return info_; }
  const engine::Tokenizer& tokenizer() const override { std::abort(); }
  const engine::ChatTemplate& chat_template() const override { std::abort(); }
  std::string_view isa_name() const override { return "scalar"; }
  std::size_t threads() const override { return 1; }
  engine::EngineLoad load_now() const override { return {}; }

  Result<engine::SequenceHandle> submit(engine::Submission submission, engine::Callbacks callbacks) override {
    if (refusal) return *refusal;
    running[++last_] = {std::move(submission), std::move(callbacks)};
    return engine::SequenceHandle{last_};
  }
  void cancel(engine::SequenceHandle handle) override { cancelled.push_back(handle.id); }
  Result<engine::SequenceHandle> submit_replay(
      GenerationRequest, std::vector<Step>, FinishReason,
      std::function<void(Result<engine::ReplayResult>)> on_result) override {
    if (refusal) return *refusal;
    replays[++last_] = std::move(on_result);
    return engine::SequenceHandle{last_};
  }
  Result<engine::ReplayResult> replay(const GenerationRequest&, const std::vector<Step>&,
                                      FinishReason) override {
    std::abort();
  }

 private:
  engine::ModelInfo info_;
  std::uint64_t last_ = 0;
};

}  // namespace cortensor
