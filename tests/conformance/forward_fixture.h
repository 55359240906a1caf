// What the forward-pass tests share: a model with random weights, the reference's answer to it, and the fast
// pass run over any batches.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "arith/llama_reference.h"
#include "compute/backend.h"
#include "engine/forward.h"
#include "engine/gguf_file.h"
#include "engine/model.h"
#include "random_model.h"

namespace cortensor::engine {

// A model file that is bound and checked; the file is gone from the disk when this goes.
struct OpenModel {
  std::unique_ptr<GgufFile> file;
  std::unique_ptr<Model> model;

  static OpenModel random(const test::RandomModel& spec) {
    const std::string path = testing::TempDir() + "forward_" + std::to_string(::getpid()) + ".gguf";
    const Status written = test::write_random_model(spec, path);
    EXPECT_TRUE(written) << written.error().message;
    OpenModel out = open(path);
    std::remove(path.c_str());  // the mapping stays
    return out;
  }
  static OpenModel open(const std::string& path) {
    OpenModel out;
    auto file = GgufFile::open(path);
    EXPECT_TRUE(file) << file.error().message;
    out.file = std::make_unique<GgufFile>(std::move(*file));
    auto model = bind_model(*out.file);
    EXPECT_TRUE(model) << model.error().message;
    out.model = std::make_unique<Model>(std::move(*model));
    return out;
  }
};

// Hidden state and logits of every position, one vector of floats each; empty where they are not wanted.
struct States {
  std::vector<std::vector<float>> hidden;
  std::vector<std::vector<float>> logits;
};

inline States reference_states(const Model& model, std::span<const TokenId> tokens) {
  arith::LlamaReference reference(model.weights);
  States out;
  for (const TokenId token : tokens) {
    EXPECT_TRUE(reference.step(token));
    out.hidden.emplace_back(reference.hidden().begin(), reference.hidden().end());
    out.logits.emplace_back(model.config.vocab_size);
    EXPECT_TRUE(reference.logits(out.logits.back()));
  }
  return out;
}

// The fast pass with a cache for several sequences.
class FastPass {
 public:
  // Fails to exist (see ok()) where this machine lacks the instruction set.
  FastPass(const Model& model, const std::string& isa, std::size_t threads, std::size_t sequences = 1)
      : pages_per_sequence_(pages_for(model.config.context_length)), states_(sequences), done_(sequences) {
    auto backend = compute::make_cpu_backend({threads, isa});
    if (!backend) return;
    backend_ = std::move(*backend);
    auto forward = Forward::create(model.weights, *backend_,
                                   {model.config.context_length, pages_per_sequence_ * sequences,
                                    model.config.context_length * sequences});
    EXPECT_TRUE(forward) << forward.error().message;
    forward_ = std::move(*forward);
    // Pages in falling order, so that nothing depends on neighbours being neighbours.
    for (std::size_t s = 0; s < sequences; ++s) {
      pages_.emplace_back();
      for (std::size_t p = 0; p < pages_per_sequence_; ++p)
        pages_[s].push_back(static_cast<PageId>(pages_per_sequence_ * sequences - 1 - (p * sequences + s)));
    }
  }
  bool ok() const { return forward_ != nullptr; }

  struct Part {
    std::size_t sequence;
    std::span<const TokenId> tokens;  // the sequence's next ones
    std::size_t not_wanted = 0;       // the states of so many of them
  };
  // One forward pass.
  void run(const std::vector<Part>& parts) {
    std::vector<ForwardRows> batch;
    for (const Part& part : parts)
      batch.push_back(
          {part.tokens, done_[part.sequence], pages_[part.sequence], part.tokens.size() - part.not_wanted});
    const auto results = forward_->run(batch);
    for (std::size_t i = 0; i < parts.size(); ++i) {
      ASSERT_FALSE(results[i].failed);
      ASSERT_EQ(results[i].outputs, batch[i].outputs);
      done_[parts[i].sequence] += parts[i].tokens.size();
      std::vector<float> logits(results[i].outputs * forward_->vocab_size());
      forward_->logits(results[i].first_output, results[i].outputs, logits);
      States& states = states_[parts[i].sequence];
      states.hidden.resize(states.hidden.size() + parts[i].not_wanted);
      states.logits.resize(states.hidden.size());
      for (std::size_t k = 0; k < results[i].outputs; ++k) {
        const auto hidden = forward_->hidden(results[i].first_output + k);
        states.hidden.emplace_back(hidden.begin(), hidden.end());
        const auto row = logits.begin() + static_cast<std::ptrdiff_t>(k * forward_->vocab_size());
        states.logits.emplace_back(row, row + static_cast<std::ptrdiff_t>(forward_->vocab_size()));
      }
    }
  }
  const States& states(std::size_t sequence = 0) const { return states_[sequence]; }

 private:
  std::size_t pages_per_sequence_;
  std::unique_ptr<compute::Backend> backend_;
  std::unique_ptr<Forward> forward_;
  std::vector<std::vector<PageId>> pages_;
  std::vector<States> states_;
  std::vector<std::size_t> done_;
};

// Bit for bit, where anything was wanted; names the first position that differs.
inline void expect_same_bits(const States& expected, const States& found, const std::string& what) {
  ASSERT_EQ(expected.hidden.size(), found.hidden.size()) << what;
  const auto same = [](const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
  };
  for (std::size_t p = 0; p < expected.hidden.size(); ++p) {
    if (found.hidden[p].empty()) continue;
    ASSERT_TRUE(same(expected.hidden[p], found.hidden[p])) << what << ": hidden state of position " << p;
    ASSERT_TRUE(same(expected.logits[p], found.logits[p])) << what << ": logits of position " << p;
  }
}

inline std::vector<TokenId> some_tokens(std::size_t count, std::size_t vocab_size, std::uint32_t seed) {
  std::vector<TokenId> tokens;
  for (std::size_t i = 0; i < count; ++i) {
    seed = seed * 1664525u + 1013904223u;
    tokens.push_back((seed >> 8) % static_cast<std::uint32_t>(vocab_size));
  }
  return tokens;
}

}  // namespace cortensor::engine
