// Claims: a made model is a file that this engine and its tokenizer take, with finite weights of the mixture
// that was asked for, on disk and in memory the same.
#include "engine/made_model.h"

#include <gtest/gtest.h>

#include "engine/evaluator.h"
#include "engine/quantize.h"
#include "engine/tokenizer.h"
#include "temporary_folder.h"

namespace cortensor::engine {
namespace {

constexpr ModelShape kSmall{"small", 256, 8, 4, 2, 64, 512, 128, true};

TEST(MadeModel, IsTakenAndComputesInEveryForm) {
  const TemporaryFolder folder;
  const std::string path = folder.path("made.gguf");
  for (const char* type : {"q4_k_m", "s4", "q8_0"}) {
    auto out = OutputFile::create(path);
    ASSERT_TRUE(out);
    ASSERT_TRUE(write_made_model(kSmall, type, std::move(*out)));
    auto model = Evaluator::load(path, {"", 1, 0});
    ASSERT_TRUE(model) << type << ": " << model.error().message;
    EXPECT_TRUE(check_weights((*model)->file())) << type;
    const TokenId tokens[] = {128000, 5, 70000};
    std::size_t rows = 0;
    const auto status = (*model)->run(tokens, 0, [&](std::size_t, std::span<const float>) {
      ++rows;
      return ok();
    });
    EXPECT_TRUE(status) << type << ": " << status.error().message;
    EXPECT_EQ(rows, 3u);
    const auto tokenizer = Tokenizer::from_gguf((*model)->file());
    ASSERT_TRUE(tokenizer) << tokenizer.error().message;
    EXPECT_EQ(tokenizer->vocab_size(), 128256u);
    EXPECT_EQ(tokenizer->decode(tokenizer->encode("Some text, 123")), "Some text, 123");
  }
}

// What is made for measuring has the types of what is made from weights.
TEST(MadeModel, HasTheTypesThatQuantisingChooses) {
  const TemporaryFolder folder;
  const auto made = [&](const std::string& type) {
    auto out = OutputFile::create(folder.path(type));
    EXPECT_TRUE(write_made_model(kSmall, type, std::move(*out)));
    return folder.path(type);
  };
  const std::string source = made("bf16");
  for (const std::string type : {"q4_k_m", "q2_k", "q4_0"}) {
    ASSERT_TRUE(quantize_file(source, folder.path("quantised"), type));
    const auto a = GgufFile::open(made(type)), b = GgufFile::open(folder.path("quantised"));
    ASSERT_TRUE(a && b);
    for (const TensorInfo& tensor : a->tensors())
      EXPECT_EQ(tensor.type, b->find_tensor(tensor.name)->type) << type << " " << tensor.name;
  }
}

}  // namespace
}  // namespace cortensor::engine
