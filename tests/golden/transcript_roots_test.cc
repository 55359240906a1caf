// Claim: no bit of any answer has changed. Roots of answers of small random models, greedy and sampled, for
// every weight type, against those committed in transcript_roots.txt. A deliberate change of the arithmetic
// changes them: then its version number changes too, and the file takes the lines this test prints.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <future>
#include <iterator>
#include <string>

#include "arith/version.h"
#include "base/hex.h"
#include "engine/engine.h"
#include "random_model.h"

namespace cortensor::engine {
namespace {

std::string root_of(Engine& engine, const GenerationRequest& request) {
  std::promise<std::string> root;
  Callbacks callbacks;
  callbacks.on_finish = [&](FinishReason, const Digest& digest) { root.set_value(to_hex(digest)); };
  callbacks.on_error = [&](const Error& error) { root.set_value(error.message); };
  const auto submitted = engine.submit({request, {}}, std::move(callbacks));
  return submitted ? root.get_future().get() : submitted.error().message;
}

std::string roots() {
  std::string lines = "arithmetic " + std::to_string(arith::kArithmeticVersion) + "\n";
  for (const TensorType type :
       {TensorType::f32, TensorType::f16, TensorType::bf16, TensorType::q8_0, TensorType::q4_0}) {
    const std::string path = testing::TempDir() + "roots_" + std::to_string(::getpid()) + ".gguf";
    const test::RandomModel spec{
        .type = type, .dim = 128, .heads = 4, .kv_heads = 2, .head_dim = 40, .ffn_dim = 544};
    EXPECT_TRUE(test::write_random_model(spec, path));
    auto engine = Engine::load(path, {"", 2, 2, 0, 50});
    std::remove(path.c_str());
    EXPECT_TRUE(engine) << engine.error().message;
    if (!engine) continue;

    GenerationRequest request;
    for (TokenId i = 0; i < 100; ++i) request.prompt.push_back((i * i + 3) % 256);
    request.max_tokens = 64;
    const std::string name = (*engine)->info().quantisation;
    lines += name + " greedy " + root_of(**engine, request) + "\n";
    request.sampling = {
        .temperature = 0.9f, .top_p = 0.9f, .min_p = 0.02f, .top_k = 50, .seed = 12345678901234567};
    lines += name + " sampled " + root_of(**engine, request) + "\n";
  }
  return lines;
}

TEST(TranscriptRoots, AreWhatTheyWere) {
  std::ifstream in(CORTENSOR_ROOTS, std::ios::binary);
  const std::string expected{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  const std::string found = roots();
  EXPECT_EQ(expected, found) << "the file for these bits:\n" << found;
}

}  // namespace
}  // namespace cortensor::engine
