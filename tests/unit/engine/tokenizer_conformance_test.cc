// Claims: the tokens of Llama 3's own tokenizer for a collection of awkward texts. Needs two things that are
// not in the repository: CORTENSOR_CONFORMANCE, the folder with tokenizer/llama-bpe.inp and .out, and
// CORTENSOR_LLAMA3_VOCABULARY, a file made by tools/golden/llama3_vocabulary_to_gguf.py; skipped without
// them.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>

#include "engine/tokenizer.h"

namespace cortensor::engine {
namespace {

std::string read_all(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(TokenizerConformance, EncodesLikeLlama3) {
  const char* folder = std::getenv("CORTENSOR_CONFORMANCE");
  const char* vocabulary = std::getenv("CORTENSOR_LLAMA3_VOCABULARY");
  if (folder == nullptr || vocabulary == nullptr)
    GTEST_SKIP() << "needs CORTENSOR_CONFORMANCE and CORTENSOR_LLAMA3_VOCABULARY";
  const auto file = GgufFile::open(vocabulary);
  ASSERT_TRUE(file) << file.error().message;
  const auto tokenizer = Tokenizer::from_gguf(*file);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;

  std::string texts = read_all(std::string(folder) + "/tokenizer/llama-bpe.inp");
  std::istringstream answers(read_all(std::string(folder) + "/tokenizer/llama-bpe.out"));
  ASSERT_FALSE(texts.empty());
  const std::string separator = "\n__ggml_vocab_test__\n";
  int compared = 0;
  while (!texts.empty()) {
    const std::size_t end = texts.find(separator);
    const std::string text = texts.substr(0, end);
    texts.erase(0, end == std::string::npos ? end : end + separator.size());
    std::string line;
    if (!std::getline(answers, line)) break;
    std::istringstream numbers(line);
    const std::vector<TokenId> expected{std::istream_iterator<TokenId>(numbers), {}};
    EXPECT_EQ(tokenizer->encode(text), expected) << "text " << compared << ": " << text;
    EXPECT_EQ(tokenizer->decode(expected), text);
    ++compared;
  }
  EXPECT_GE(compared, 40);
}

}  // namespace
}  // namespace cortensor::engine
