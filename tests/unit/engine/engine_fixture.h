// An engine over a small random model, and generation as a plain function call.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "random_model.h"

namespace cortensor::engine {

// A whole answer, or why there is none.
struct Answer {
  std::size_t cached_tokens = 0;
  std::vector<Step> steps;
  std::vector<std::optional<Logprobs>> logprobs;
  std::vector<float> embedding;
  std::optional<FinishReason> finish;
  Digest root{};
  std::optional<Error> error;
};

// A generation that may still be running.
class Pending {
 public:
  // With a gate, the engine thread stands still in the first step's callback until the gate is opened.
  Pending(Engine& engine, Submission submission, std::shared_future<void> gate = {})
      : state_(std::make_shared<State>()) {
    Callbacks callbacks;
    callbacks.on_start = [state = state_](std::size_t cached_tokens) {
      EXPECT_TRUE(state->answer.steps.empty());
      state->answer.cached_tokens = cached_tokens;
    };
    callbacks.on_step = [state = state_, gate](std::size_t position, const Step& step,
                                               const Logprobs* logprobs) {
      EXPECT_EQ(position, state->answer.steps.size());
      state->answer.steps.push_back(step);
      state->answer.logprobs.push_back(logprobs != nullptr ? std::optional(*logprobs) : std::nullopt);
      if (state->answer.steps.size() > 1) return;
      state->started.set_value();
      if (gate.valid()) gate.wait();
    };
    callbacks.on_embedding = [state = state_](std::span<const float> elements) {
      EXPECT_TRUE(state->answer.steps.empty());
      state->answer.embedding.assign(elements.begin(), elements.end());
    };
    callbacks.on_finish = [state = state_](FinishReason reason, const Digest& root) {
      state->answer.finish = reason;
      state->answer.root = root;
      state->done.set_value();
    };
    callbacks.on_error = [state = state_](const Error& error) {
      state->answer.error = error;
      state->done.set_value();
    };
    auto submitted = engine.submit(std::move(submission), std::move(callbacks));
    if (submitted) {
      handle_ = *submitted;
    } else {
      state_->answer.error = std::move(submitted).error();
      state_->done.set_value();
    }
  }
  SequenceHandle handle() const { return handle_; }
  void wait_for_first_step() { state_->started.get_future().wait(); }
  Answer wait() {
    state_->done.get_future().wait();
    return state_->answer;
  }

 private:
  struct State {
    Answer answer;
    std::promise<void> started, done;
  };
  std::shared_ptr<State> state_;
  SequenceHandle handle_;
};

inline Answer generate(Engine& engine, const GenerationRequest& request, std::vector<TokenId> given = {}) {
  return Pending(engine, {request, std::move(given)}).wait();
}

inline std::vector<TokenId> tokens_of(const std::vector<Step>& steps, std::size_t count) {
  std::vector<TokenId> tokens;
  for (std::size_t i = 0; i < count; ++i) tokens.push_back(steps[i].token);
  return tokens;
}

// A model file that lives as long as this does.
class ModelFile {
 public:
  explicit ModelFile(const test::RandomModel& spec)
      : path_(testing::TempDir() + "engine_test_" + std::to_string(::getpid()) + "_" +
              std::to_string(next_++) + ".gguf") {
    const Status written = test::write_random_model(spec, path_);
    EXPECT_TRUE(written) << written.error().message;
  }
  ~ModelFile() { std::remove(path_.c_str()); }
  ModelFile(const ModelFile&) = delete;
  ModelFile& operator=(const ModelFile&) = delete;
  const std::string& path() const { return path_; }

  std::unique_ptr<Engine> engine(const EngineOptions& options) const {
    auto engine = Engine::load(path_, options);
    EXPECT_TRUE(engine) << engine.error().message;
    return engine ? std::move(*engine) : nullptr;
  }

 private:
  inline static int next_ = 0;
  std::string path_;
};

inline GenerationRequest request_of(std::vector<TokenId> prompt, std::uint32_t max_tokens,
                                    Sampling sampling = {}) {
  return {std::move(prompt), sampling, max_tokens, {}, {}};
}

inline std::vector<TokenId> prompt_of(std::size_t size, std::uint32_t seed) {
  std::vector<TokenId> tokens{test::kBeginOfText};
  while (tokens.size() < size) {
    seed = seed * 1664525u + 1013904223u;
    tokens.push_back((seed >> 8) % 256);
  }
  return tokens;
}

}  // namespace cortensor::engine
