// Claims: beside a long prompt every answer gets its token in every pass, and no pass has more rows than it
// may; a short prompt overtakes a long one; what is cancelled gets no further row; what cannot run now or
// ever is refused with the numbers; memory that no sequence has used is not taken.
#include <fstream>

#include "engine/kv_pages.h"
#include "engine_fixture.h"

namespace cortensor::engine {
namespace {

using testing::HasSubstr;

constexpr std::size_t kChunk = 32;

const ModelFile& model_file() {
  static const ModelFile file({.context_length = 4096});
  return file;
}

std::uint64_t rows(const EngineLoad& load) {
  return load.prompt_rows + load.answer_rows;
}

// An answer whose every step is looked at while the engine stands still.
class Watched {
 public:
  Watched(Engine& engine, GenerationRequest request, std::function<void(std::size_t position)> look) {
    Callbacks callbacks;
    callbacks.on_step = [look](std::size_t position, const Step&, const Logprobs*) { look(position); };
    callbacks.on_finish = [done = done_](FinishReason, const Digest&) { done->set_value(std::nullopt); };
    callbacks.on_error = [done = done_](const Error& error) { done->set_value(error); };
    const auto submitted = engine.submit({std::move(request), {}}, std::move(callbacks));
    EXPECT_TRUE(submitted);
    handle = *submitted;
  }
  std::optional<Error> wait() { return done_->get_future().get(); }
  SequenceHandle handle;

 private:
  std::shared_ptr<std::promise<std::optional<Error>>> done_ =
      std::make_shared<std::promise<std::optional<Error>>>();
};

TEST(Scheduling, AnAnswerGoesOnInEveryPassBesideALongPrompt) {
  const auto engine = model_file().engine({"", 1, 4, 0, kChunk});
  std::optional<Watched> prompt, other;
  EngineLoad last;
  std::size_t passes_with_prompt = 0;
  Watched answer(*engine, request_of(prompt_of(4, 1), 60), [&](std::size_t position) {
    const EngineLoad now = engine->load_now();
    if (position == 0) {
      prompt.emplace(*engine, request_of(prompt_of(3000, 2), 1), [](std::size_t) {});
      other.emplace(*engine, request_of(prompt_of(3000, 3), 1), [](std::size_t) {});
    } else {
      EXPECT_EQ(now.passes - last.passes, 1u);
      EXPECT_LE(rows(now) - rows(last), kChunk);
      passes_with_prompt += rows(now) - rows(last) == kChunk ? 1 : 0;  // and none goes to waste
    }
    last = now;
  });
  EXPECT_FALSE(answer.wait());
  EXPECT_EQ(passes_with_prompt, 59u);
  EXPECT_FALSE(prompt->wait());
  EXPECT_FALSE(other->wait());
}

TEST(Scheduling, AShortPromptOvertakesALongOne) {
  const auto engine = model_file().engine({"", 1, 4, 0, kChunk});
  std::uint64_t rows_at_first = 0, passes_at_short = 0, first_passes = 0;
  std::optional<Watched> prompt, other;
  Watched answer(*engine, request_of(prompt_of(4, 1), 2), [&](std::size_t position) {
    if (position > 0) return;
    first_passes = engine->load_now().passes;
    prompt.emplace(*engine, request_of(prompt_of(3000, 2), 1),
                   [&](std::size_t) { rows_at_first = rows(engine->load_now()); });
    other.emplace(*engine, request_of(prompt_of(40, 3), 1),
                  [&](std::size_t) { passes_at_short = engine->load_now().passes; });
  });
  EXPECT_FALSE(answer.wait());
  EXPECT_FALSE(other->wait());
  EXPECT_EQ(passes_at_short - first_passes, 3u);  // 15 rows, 16 rows, 9 rows
  EXPECT_FALSE(prompt->wait());
  EXPECT_GE(rows_at_first, 3040u);
}

TEST(Scheduling, ACancelledPromptGetsNoFurtherRow) {
  const auto engine = model_file().engine({"", 1, 2, 0, kChunk});
  std::optional<Watched> prompt;
  std::uint64_t before = 0, free = 0;
  Watched answer(*engine, request_of(prompt_of(4, 1), 30), [&](std::size_t position) {
    const EngineLoad now = engine->load_now();
    if (position == 0)
      prompt.emplace(*engine, request_of(prompt_of(3000, 2), 1), [](std::size_t) { FAIL(); });
    if (position == 10) {
      EXPECT_GE(now.prompt_rows, 10 * (kChunk - 1));  // it is under way
      before = now.prompt_rows;
      free = now.free_kv_tokens;
      engine->cancel(prompt->handle);
    }
    if (position == 11) {
      EXPECT_EQ(now.prompt_rows, before);
      EXPECT_EQ(now.sequences, 1u);
      EXPECT_EQ(now.free_kv_tokens, free + pages_for(3000) * kPagePositions);
    }
  });
  EXPECT_FALSE(answer.wait());
  EXPECT_EQ(prompt->wait()->kind, ErrorKind::cancelled);
}

TEST(Scheduling, ARefusalSaysWhetherItIsForNowOrForEver) {
  const auto engine = model_file().engine({"", 1, 2, 256, kChunk});
  const auto error_of = [&](std::size_t prompt, std::uint32_t tokens) {
    return *generate(*engine, request_of(prompt_of(prompt, 1), tokens)).error;
  };
  const Error never = error_of(200, 100);
  EXPECT_EQ(never.kind, ErrorKind::invalid_input);
  EXPECT_THAT(never.message, HasSubstr("at most 256 tokens fit this engine's cache, found 299"));

  std::promise<void> gate;
  const std::shared_future<void> opened = gate.get_future();
  Pending first(*engine, {request_of(prompt_of(100, 1), 30), {}}, opened);
  const Error later = error_of(100, 100);
  EXPECT_EQ(later.kind, ErrorKind::overloaded);
  EXPECT_THAT(later.message, HasSubstr("the cache has 64 free positions, needed 199"));
  Pending second(*engine, {request_of(prompt_of(10, 1), 30), {}});
  const Error full = error_of(10, 10);
  EXPECT_EQ(full.kind, ErrorKind::overloaded);
  EXPECT_THAT(full.message, HasSubstr("all 2 sequences are in use"));
  gate.set_value();
  EXPECT_FALSE(first.wait().error);
  EXPECT_FALSE(second.wait().error);
}

TEST(Scheduling, TheCacheIsBoundedByMemory) {
  const auto free_tokens = [](std::size_t tokens, std::uint64_t bytes) {
    EngineOptions options{"", 1, 2, tokens, kChunk};
    options.kv_bytes = bytes;
    return model_file().engine(options)->load_now().free_kv_tokens;
  };
  EXPECT_EQ(free_tokens(0, 0), 2u * 4096);  // two full contexts
  const std::size_t some = free_tokens(0, 1 << 18);
  EXPECT_GT(some, 64u);
  EXPECT_LT(some, 2u * 4096);
  EXPECT_THAT(free_tokens(0, 1 << 19), testing::AnyOf(2 * some, 2 * some + 64));
  EXPECT_EQ(free_tokens(128, 1 << 18), 128u);
  EXPECT_EQ(free_tokens(0, 1), 64u);  // one page is the least
}

std::size_t resident_bytes() {
  std::size_t all = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * 4096;
}

TEST(Scheduling, MemoryIsTakenWhenASequenceUsesIt) {
  EngineOptions options{"", 1, 2, 4 << 20, kChunk};  // 1.5 GB
  options.kv_bytes = std::uint64_t{4} << 30;
  const std::size_t before = resident_bytes();
  const auto engine = model_file().engine(options);
  ASSERT_EQ(engine->load_now().free_kv_tokens, std::size_t{4} << 20);
  EXPECT_FALSE(generate(*engine, request_of(prompt_of(1000, 1), 5)).error);
  EXPECT_LT(resident_bytes() - before, std::size_t{200} << 20);
}

}  // namespace
}  // namespace cortensor::engine
