// Claims: what is in the cache changes no bit of an answer, wherever the shared beginning ends, however it
// was computed and whoever uses it too; only full pages before the prompt's last position are taken, and only
// by the same salt; replays neither take nor leave any; full pages make way, and none is lost.
#include <gmock/gmock.h>

#include <map>
#include <random>

#include "engine/page_keys.h"
#include "engine_fixture.h"

namespace cortensor::engine {
namespace {

const Sampling kSeeded{.temperature = 1.0f, .top_p = 0.95f, .seed = 42, .repetition_penalty = 1.2f};

Bytes32 salt(std::uint8_t name) {
  Bytes32 salt{};
  salt[3] = name;
  return salt;
}

Answer salted(Engine& engine, const GenerationRequest& request, std::uint8_t name = 1,
              std::vector<TokenId> given = {}) {
  return Pending(engine, {request, std::move(given), {}, salt(name)}).wait();
}

void expect_same(const Answer& expected, const Answer& found) {
  EXPECT_FALSE(found.error) << found.error->message;
  EXPECT_EQ(expected.steps, found.steps);
  EXPECT_EQ(expected.finish, found.finish);
  EXPECT_EQ(expected.root, found.root);
}

// The beginning of prompt 1 and the end of another.
GenerationRequest spliced(std::size_t shared, std::size_t size, std::uint32_t end, const Sampling& sampling) {
  std::vector<TokenId> prompt = prompt_of(size, end);
  const std::vector<TokenId> common = prompt_of(size, 1);
  std::copy_n(common.begin(), shared, prompt.begin());
  return request_of(std::move(prompt), 12, sampling);
}

class PrefixCache : public testing::TestWithParam<TensorType> {
 protected:
  static const ModelFile& file() {
    static std::map<TensorType, std::unique_ptr<ModelFile>> files;
    auto& one = files[GetParam()];
    if (!one) one = std::make_unique<ModelFile>(test::RandomModel{.type = GetParam(), .context_length = 512});
    return *one;
  }
};

TEST_P(PrefixCache, ChangesNoBitOfAnAnswer) {
  const auto plain = file().engine({"", 2, 1, 0, 64});
  struct Case {
    GenerationRequest request;
    Answer expected;
    std::size_t cached;
  };
  std::vector<Case> cases;
  struct Cut {
    std::size_t shared, size;
    std::uint32_t end;
  };
  // The last one's second page is there, but behind another beginning.
  const Cut cuts[] = {{300, 300, 1}, {300, 301, 2}, {63, 200, 3},  {64, 200, 4},  {65, 200, 5},
                      {128, 128, 6}, {128, 129, 7}, {127, 300, 8}, {256, 257, 9}, {1, 90, 10},
                      {64, 64, 11},  {64, 65, 12},  {64, 200, 3}};
  for (const auto& [shared, size, end] : cuts) {
    const GenerationRequest request =
        spliced(shared, size, end, cases.size() % 2 == 0 ? Sampling{} : kSeeded);
    cases.push_back({request, generate(*plain, request), std::min(shared, size - 1) / 64 * 64});
  }
  struct Setting {
    const char* isa;
    std::size_t threads, chunk;
  };
  const Setting settings[] = {{"", 1, 1},       {"", 2, 64},       {"", 3, 256},   {"scalar", 2, 23},
                              {"avx2", 1, 100}, {"avx512", 2, 23}, {"amx", 1, 100}};
  for (const auto& [isa, threads, chunk] : settings) {
    auto engine = Engine::load(file().path(), {isa, threads, 2, 0, chunk});
    if (!engine && engine.error().kind == ErrorKind::unsupported) continue;  // not on this processor
    ASSERT_TRUE(engine) << engine.error().message;
    salted(**engine, request_of(prompt_of(300, 1), 1));
    std::size_t cached = 0;
    for (const Case& one : cases) {
      const Answer answer = salted(**engine, one.request);
      expect_same(one.expected, answer);
      EXPECT_EQ(answer.cached_tokens, one.cached);
      cached += one.cached;
    }
    EXPECT_EQ((*engine)->load_now().cached_rows, cached);
  }
}

// Each turn's prompt holds the turns before it, and the answers too are in the cache.
TEST_P(PrefixCache, AConversationComputesOnlyWhatIsNew) {
  const auto plain = file().engine({"", 1, 1, 0, 256}), caching = file().engine({"", 2, 1, 0, 50});
  std::vector<TokenId> prompt = prompt_of(50, 3);
  std::size_t in_cache = 0;
  for (std::uint32_t turn = 0; turn < 5; ++turn) {
    const GenerationRequest request = request_of(prompt, 45, kSeeded);
    const Answer answer = salted(*caching, request);
    expect_same(generate(*plain, request), answer);
    EXPECT_EQ(answer.cached_tokens, in_cache);
    in_cache = (prompt.size() + answer.steps.size() - 1) / 64 * 64;  // the last token was never computed
    for (const Step& step : answer.steps) prompt.push_back(step.token);
    for (const TokenId token : prompt_of(30, turn)) prompt.push_back(token);
  }
}

TEST_P(PrefixCache, GivenTokensAreDigestedAndCheckedAllTheSame) {
  const auto engine = file().engine({"", 2, 2, 0, 64});
  const GenerationRequest request = request_of(prompt_of(140, 1), 90, kSeeded);
  const Answer whole = salted(*engine, request);
  for (const std::size_t count : {1u, 40u, 89u, 90u}) {
    const Answer answer = salted(*engine, request, 1, tokens_of(whole.steps, count));
    expect_same(whole, answer);
    EXPECT_EQ(answer.cached_tokens, 128u);  // the answer's own pages are there, but its states are asked for
  }
  auto wrong = tokens_of(whole.steps, 80);
  wrong[70] ^= 1u;
  EXPECT_EQ(salted(*engine, request, 1, wrong).error->kind, ErrorKind::conflict);
  // What was computed from a wrong token is in the cache under that token, and in nobody's way.
  expect_same(whole, salted(*engine, request));
}

INSTANTIATE_TEST_SUITE_P(Types, PrefixCache, testing::Values(TensorType::q8_0, TensorType::s8),
                         [](const auto& test) { return std::string(to_string(test.param)); });

const ModelFile& model_file() {
  static const ModelFile file({.type = TensorType::q8_0});
  return file;
}

TEST(PrefixSharing, OnlyTheSameSaltFindsAPage) {
  const auto engine = model_file().engine({"", 1, 2, 0, 64});
  const GenerationRequest request = request_of(prompt_of(150, 1), 5);
  EXPECT_EQ(generate(*engine, request).cached_tokens, 0u);
  EXPECT_EQ(engine->load_now().kept_kv_tokens, 0u);  // without a salt nothing is left
  EXPECT_EQ(salted(*engine, request, 1).cached_tokens, 0u);
  EXPECT_EQ(engine->load_now().kept_kv_tokens, 128u);
  EXPECT_EQ(generate(*engine, request).cached_tokens, 0u);  // nor taken
  EXPECT_EQ(salted(*engine, request, 2).cached_tokens, 0u);
  EXPECT_EQ(salted(*engine, request, 1).cached_tokens, 128u);
  EXPECT_EQ(salted(*engine, request, 2).cached_tokens, 128u);
}

TEST(PrefixSharing, KeysStandForTheSaltAndEveryTokenSoFar) {
  const std::vector<TokenId> tokens = prompt_of(200, 1);
  const auto keys_of = [](const Bytes32& salt, std::span<const TokenId> all) {
    PageKeys keys(salt);
    keys.extend(all.first(all.size() / 3));  // in parts as in one piece
    keys.extend(all);
    return std::vector<PageKey>(keys.keys().begin(), keys.keys().end());
  };
  PageKeys whole(salt(1));
  whole.extend(tokens);
  const auto keys = keys_of(salt(1), tokens);
  ASSERT_EQ(keys.size(), 3u);
  EXPECT_TRUE(std::equal(keys.begin(), keys.end(), whole.keys().begin()));
  for (std::size_t changed = 0; changed < 192; ++changed) {
    auto other = tokens;
    other[changed] ^= 1u << 31;
    const auto others = keys_of(salt(1), other);
    for (std::size_t page = 0; page < 3; ++page) EXPECT_EQ(keys[page] == others[page], page < changed / 64);
  }
  for (std::size_t page = 0; page < 3; ++page) EXPECT_NE(keys[page], keys_of(salt(2), tokens)[page]);
}

TEST(PrefixSharing, RunningSequencesShareAndFitWhereTwoWouldNot) {
  const auto engine = model_file().engine({"", 1, 4, 320, 64});
  const GenerationRequest request = request_of(prompt_of(190, 1), 10);
  const GenerationRequest shorter = request_of(prompt_of(130, 1), 5);
  std::promise<void> gate;
  Pending holder(*engine, {request, {}, {}, salt(1)}, gate.get_future());
  holder.wait_for_first_step();
  EXPECT_EQ(engine->load_now().free_kv_tokens, 64u);
  EXPECT_EQ(salted(*engine, request).error->kind, ErrorKind::overloaded);  // 4 pages, 2 of them the holder's
  EXPECT_EQ(engine->load_now().free_kv_tokens, 64u);
  Pending guest(*engine, {shorter, {}, {}, salt(1)});  // 3 pages, 2 of them the holder's
  EXPECT_EQ(engine->load_now().free_kv_tokens, 0u);
  gate.set_value();
  const Answer answer = holder.wait(), shared = guest.wait();
  EXPECT_EQ(shared.cached_tokens, 128u);
  EXPECT_EQ(engine->load_now().free_kv_tokens, 320u);
  expect_same(generate(*engine, request), answer);
  expect_same(generate(*engine, shorter), shared);
}

// While one prompt is computed in chunks of half a page, others with the same beginning come in every pass.
TEST(PrefixSharing, APageIsFoundOnlyOnceItIsFull) {
  const auto plain = model_file().engine({"", 1, 1, 0, 256}), engine = model_file().engine({"", 1, 8, 0, 32});
  const GenerationRequest request = request_of(prompt_of(200, 1), 3);
  std::vector<Pending> pending;
  std::promise<void> done;
  Callbacks pacing;
  pacing.on_step = [&](std::size_t position, const Step&, const Logprobs*) {
    if (position < 7) pending.emplace_back(*engine, Submission{request, {}, {}, salt(1)});
  };
  pacing.on_finish = [&](FinishReason, const Digest&) { done.set_value(); };
  ASSERT_TRUE(engine->submit({request_of(prompt_of(4, 2), 30), {}}, pacing));
  done.get_future().wait();
  const Answer expected = generate(*plain, request);
  std::vector<std::size_t> cached;
  for (Pending& one : pending) {
    const Answer answer = one.wait();
    expect_same(expected, answer);
    cached.push_back(answer.cached_tokens);
  }
  EXPECT_THAT(cached, testing::ElementsAre(0, 0, 0, 0, 64, 64, 64));
}

TEST(PrefixSharing, AReplayNeitherTakesNorLeavesPages) {
  const auto engine = model_file().engine({"", 1, 2, 0, 64});
  const GenerationRequest request = request_of(prompt_of(150, 1), 20);
  const Answer answer = salted(*engine, request);
  const EngineLoad before = engine->load_now();
  const auto result = engine->replay(request, answer.steps, *answer.finish);
  ASSERT_TRUE(result);
  EXPECT_TRUE(result->valid());
  const EngineLoad after = engine->load_now();
  EXPECT_EQ(after.prompt_rows - before.prompt_rows, 150u + 19u);
  EXPECT_EQ(after.cached_rows, before.cached_rows);
  EXPECT_EQ(after.kept_kv_tokens, before.kept_kv_tokens);
}

// A full cache, sequences that come, share, end, fail and are cancelled: every answer is the plain one, and
// in the end every page is free.
TEST(PrefixSharing, SurvivesACrowd) {
  const auto plain = model_file().engine({"", 2, 8, 0, 256}),
             engine = model_file().engine({"", 2, 8, 1024, 32});
  std::mt19937 random(11);
  std::vector<GenerationRequest> requests;
  std::vector<Answer> expected;
  for (std::uint32_t i = 0; i < 24; ++i) {
    std::vector<TokenId> prompt = prompt_of(70 + random() % 150, i);
    const std::vector<TokenId> common = prompt_of(220, 100 + i % 3);
    std::copy_n(common.begin(), std::min<std::size_t>(prompt.size(), 64 * (random() % 4)), prompt.begin());
    requests.push_back(request_of(std::move(prompt), static_cast<std::uint32_t>(1 + random() % 25),
                                  i % 2 == 0 ? Sampling{} : kSeeded));
    expected.push_back(generate(*plain, requests.back()));
  }
  std::size_t cached = 0, finished = 0, refused = 0;
  for (int round = 0; round < 60; ++round) {
    std::vector<std::pair<std::size_t, Pending>> crowd;
    for (std::size_t i = 0; i < 1 + random() % 8; ++i) {
      const std::size_t which = random() % requests.size();
      crowd.emplace_back(
          which, Pending(*engine, {requests[which], {}, {}, salt(static_cast<std::uint8_t>(random() % 2))}));
      if (random() % 5 == 0) engine->cancel(crowd.back().second.handle());
    }
    for (auto& [which, pending] : crowd) {
      const Answer answer = pending.wait();
      if (answer.error) {
        refused += answer.error->kind == ErrorKind::overloaded ? 1 : 0;
        continue;
      }
      ++finished;
      cached += answer.cached_tokens;
      expect_same(expected[which], answer);
    }
  }
  const EngineLoad load = engine->load_now();
  EXPECT_EQ(load.free_kv_tokens, 1024u);
  EXPECT_EQ(load.sequences, 0u);
  EXPECT_GT(load.kept_kv_tokens, 512u);
  EXPECT_GT(cached, 64u * 20);
  EXPECT_GT(finished, 50u);
  EXPECT_GT(refused, 0u);
}

}  // namespace
}  // namespace cortensor::engine
