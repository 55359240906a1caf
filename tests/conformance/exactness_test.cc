// Claim: the bits of a position depend on its own sequence alone. Random models of every weight type run
// random token streams in random chunks, batches and pages, with every instruction set of this machine and
// several thread counts; every hidden state and every row of logits equals the reference's by memcmp.
// CORTENSOR_EXACTNESS_POSITIONS: how many positions to compare in all, at least.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <numeric>
#include <random>

#include "compute/cpu/dispatch.h"
#include "forward_fixture.h"

namespace cortensor::arith {

void PrintTo(WeightType type, std::ostream* out) {
  *out << engine::to_string(type);
}

}  // namespace cortensor::arith

namespace cortensor::engine {
namespace {

constexpr TensorType kTypes[] = {TensorType::f32,  TensorType::f16,  TensorType::bf16, TensorType::q8_0,
                                 TensorType::q4_0, TensorType::q4_1, TensorType::q5_0, TensorType::q5_1,
                                 TensorType::q2_k, TensorType::q3_k, TensorType::q4_k, TensorType::q5_k,
                                 TensorType::q6_k, TensorType::s8,   TensorType::s4};
constexpr std::size_t kThreads[] = {1, 2, 3};
constexpr std::size_t kContext = 300, kMaxRows = 160, kLiveSequences = 4;

class Random {
 public:
  explicit Random(std::uint32_t seed) : generator_(seed) {}
  std::size_t below(std::size_t n) { return generator_() % n; }
  template <std::size_t n>
  std::size_t one_of(const std::size_t (&values)[n]) {
    return values[below(n)];
  }
  template <class T>
  void shuffle(std::vector<T>& items) {
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }

 private:
  std::mt19937 generator_;
};

test::RandomModel random_spec(TensorType type, Random& random) {
  const bool super = arith::file_block(type).elements == arith::kSuperBlock;
  test::RandomModel spec{.type = type, .context_length = kContext, .seed = random.below(1 << 30)};
  spec.layers = super || random.below(4) > 0 ? 1 : 2;
  do {
    spec.head_dim = random.one_of({8, 16, 24, 32, 64, 128});
    spec.kv_heads = random.one_of({1, 2, 4});
    spec.heads = spec.kv_heads * (1 + random.below(4));
  } while (spec.heads * spec.head_dim % (super ? 256 : 32) != 0 || spec.heads * spec.head_dim > 256);
  spec.dim = super ? 256 : 32 * (1 + random.below(6));
  spec.ffn_dim = super ? random.one_of({256, 512}) : random.one_of({32, 96, 160, 544});
  spec.tied = random.below(2) == 0;
  spec.rope_factors = random.below(2) == 0;
  return spec;
}

struct Stream {
  std::vector<TokenId> tokens;
  States expected;
};

// Some streams at a time share the batches and take pages out of the same heap, which those that are over
// leave as they are.
class RandomRun {
 public:
  RandomRun(const Model& model, const std::string& isa, std::size_t threads,
            const std::vector<Stream>& streams, Random& random)
      : streams_(streams), random_(random), free_(kLiveSequences * pages_for(kContext)) {
    backend_ = std::move(*compute::make_cpu_backend({threads, isa}));
    forward_ = std::move(*Forward::create(model.weights, *backend_, {kContext, free_.size(), kMaxRows}));
    std::iota(free_.begin(), free_.end(), PageId{0});
    random_.shuffle(free_);
    order_.resize(streams.size());
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    random_.shuffle(order_);
  }

  // The number of positions that were compared.
  std::size_t run() {
    std::size_t compared = 0;
    while (!order_.empty() || !live_.empty()) {
      while (live_.size() < kLiveSequences && !order_.empty()) {
        live_.push_back({order_.back(), 0, {}});
        order_.pop_back();
      }
      compared += step();
      if (testing::Test::HasFatalFailure()) break;
      std::erase_if(live_, [&](const Live& live) {
        const bool over = live.done == streams_[live.stream].tokens.size();
        if (over) free_.insert(free_.end(), live.pages.begin(), live.pages.end());
        return over;
      });
      random_.shuffle(free_);
    }
    return compared;
  }

 private:
  struct Live {
    std::size_t stream, done;
    std::vector<PageId> pages;
  };

  // One pass over some of the streams that are under way.
  std::size_t step() {
    random_.shuffle(live_);
    const std::size_t members = 1 + random_.below(live_.size());
    const bool prompts = random_.below(3) == 0;  // long chunks among single tokens
    std::vector<ForwardRows> batch;
    std::size_t rows = 0;
    for (std::size_t m = 0; m < members; ++m) {
      Live& live = live_[m];
      const auto& tokens = streams_[live.stream].tokens;
      const std::size_t most =
          prompts && random_.below(2) == 0 ? 1 + random_.below(100) : 1 + random_.below(3);
      const std::size_t count = std::min({most, tokens.size() - live.done, kMaxRows - rows});
      if (count == 0) break;
      while (live.pages.size() < pages_for(live.done + count)) {
        live.pages.push_back(free_.back());
        free_.pop_back();
      }
      batch.push_back({std::span(tokens).subspan(live.done, count), live.done, live.pages, count});
      rows += count;
    }
    const auto results = forward_->run(batch);
    for (std::size_t m = 0; m < batch.size(); ++m) compare(live_[m], batch[m], results[m]);
    return rows;
  }

  void compare(Live& live, const ForwardRows& rows, const ForwardResult& result) {
    ASSERT_FALSE(result.failed);
    const States& expected = streams_[live.stream].expected;
    logits_.resize(result.outputs * forward_->vocab_size());
    forward_->logits(result.first_output, result.outputs, logits_);
    for (std::size_t i = 0; i < rows.tokens.size(); ++i) {
      const auto hidden = forward_->hidden(result.first_output + i);
      const std::size_t p = live.done + i;
      ASSERT_EQ(std::memcmp(hidden.data(), expected.hidden[p].data(), hidden.size_bytes()), 0)
          << "hidden state of position " << p;
      const std::vector<float>& row = expected.logits[p];
      ASSERT_EQ(std::memcmp(&logits_[i * row.size()], row.data(), row.size() * sizeof(float)), 0)
          << "logits of position " << p;
    }
    live.done += rows.tokens.size();
  }

  const std::vector<Stream>& streams_;
  Random& random_;
  std::unique_ptr<compute::Backend> backend_;
  std::unique_ptr<Forward> forward_;
  std::vector<PageId> free_;
  std::vector<std::size_t> order_;  // of the streams that have not begun
  std::vector<Live> live_;
  std::vector<float> logits_;
};

class Exactness : public testing::TestWithParam<TensorType> {};

TEST_P(Exactness, EveryInstructionSetThreadCountBatchChunkAndPage) {
  const char* asked = std::getenv("CORTENSOR_EXACTNESS_POSITIONS");
  const std::size_t all = asked != nullptr ? std::strtoull(asked, nullptr, 10) : 30000;
  const std::size_t wanted = all / std::size(kTypes) + 1;
  std::size_t compared = 0;
  for (std::uint32_t seed = 1; compared < wanted; ++seed) {
    Random random(seed);
    const test::RandomModel spec = random_spec(GetParam(), random);
    const OpenModel open = OpenModel::random(spec);
    std::vector<Stream> streams(8);
    for (Stream& stream : streams) {
      const std::size_t length = 1 + random.below(random.below(8) == 0 ? kContext : 40);
      stream.tokens = some_tokens(length, spec.vocab_size, static_cast<std::uint32_t>(random.below(1 << 30)));
      stream.expected = reference_states(*open.model, stream.tokens);
    }
    for (const compute::KernelTable* table : compute::available_kernels())
      for (const std::size_t threads : kThreads) {
        SCOPED_TRACE("seed " + std::to_string(seed) + ", " + std::string(table->name) + ", " +
                     std::to_string(threads) + " threads");
        compared += RandomRun(*open.model, std::string(table->name), threads, streams, random).run();
        if (HasFatalFailure()) return;
      }
  }
  std::cout << compared << " positions compared\n";
}

INSTANTIATE_TEST_SUITE_P(Types, Exactness, testing::ValuesIn(kTypes), [](const auto& test) {
  std::string name(to_string(test.param));
  std::erase(name, '_');
  return name;
});

}  // namespace
}  // namespace cortensor::engine
