// Claims: a made model is a file that this engine and its tokenizer take, with finite weights of the mixture
// that was asked for, on disk and in memory the same.
#include "engine/made_model.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/evaluator.h"
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

TEST(MadeModel, MixesTypesAsFilesDo) {
  const int memory = ::memfd_create("made", MFD_CLOEXEC);
  ASSERT_GE(memory, 0);
  ASSERT_TRUE(write_made_model(kSmall, "q4_k_m", OutputFile::onto(memory)));
  const auto file = GgufFile::open("/proc/self/fd/" + std::to_string(memory));
  ASSERT_TRUE(file) << file.error().message;
  const auto type = [&](const char* name) { return file->find_tensor(name)->type; };
  EXPECT_EQ(type("token_embd.weight"), TensorType::q6_k);
  EXPECT_EQ(type("blk.0.ffn_down.weight"), TensorType::q6_k);
  EXPECT_EQ(type("blk.1.ffn_down.weight"), TensorType::q4_k);
  EXPECT_EQ(type("blk.3.attn_v.weight"), TensorType::q6_k);
  EXPECT_EQ(type("blk.3.attn_q.weight"), TensorType::q4_k);
  EXPECT_EQ(type("blk.7.attn_v.weight"), TensorType::q6_k);
  ::close(memory);

  EXPECT_TRUE(is_type_name("bf16"));
  EXPECT_FALSE(is_type_name("iq4_xs"));
  EXPECT_FALSE(is_type_name(""));
}

}  // namespace
}  // namespace cortensor::engine
