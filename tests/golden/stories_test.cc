// Claim: the golden model stories260K writes its published text: 200 greedy tokens, byte for byte.
// CORTENSOR_GOLDEN names the folder with stories260K.bin, tok512.bin and expected_greedy_200.txt; without it
// the test is skipped.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <future>
#include <iterator>
#include <string>

#include "engine/engine.h"
#include "engine/tokenizer.h"

namespace cortensor::engine {
namespace {

std::string read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

TEST(Stories260K, WritesItsPublishedText) {
  const char* folder = std::getenv("CORTENSOR_GOLDEN");
  if (folder == nullptr) GTEST_SKIP() << "CORTENSOR_GOLDEN is not set";
  const std::string data = folder,
                    path = testing::TempDir() + "stories_" + std::to_string(::getpid()) + ".gguf";
  const std::string convert = std::string("python3 '") + CORTENSOR_CONVERTER + "' '" + data +
                              "/stories260K.bin' '" + data + "/tok512.bin' '" + path + "'";
  ASSERT_EQ(std::system(convert.c_str()), 0);

  auto engine = Engine::load(path, {"", 2, 1, 0, 64});
  std::remove(path.c_str());
  ASSERT_TRUE(engine) << engine.error().message;

  GenerationRequest request;
  request.prompt = (*engine)->tokenizer().encode_prompt("");
  request.max_tokens = 200;
  std::vector<TokenId> tokens;
  std::promise<void> done;
  Callbacks callbacks;
  callbacks.on_step = [&](std::size_t, const Step& step, const Logprobs*) { tokens.push_back(step.token); };
  callbacks.on_finish = [&](FinishReason, const Digest&) { done.set_value(); };
  callbacks.on_error = [&](const Error& error) {
    ADD_FAILURE() << error.message;
    done.set_value();
  };
  ASSERT_TRUE((*engine)->submit({request, {}}, std::move(callbacks)));
  done.get_future().wait();

  const auto trimmed = [](std::string text) {
    text.erase(0, text.find_first_not_of(" \n"));
    text.erase(text.find_last_not_of(" \n") + 1);
    return text;
  };
  EXPECT_EQ(trimmed((*engine)->tokenizer().decode(tokens)),
            trimmed(read_text(data + "/expected_greedy_200.txt")));
}

}  // namespace
}  // namespace cortensor::engine
