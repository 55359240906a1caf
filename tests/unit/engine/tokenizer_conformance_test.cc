// Claims: the tokens of Llama 3's own tokenizer for a collection of awkward texts and for random Unicode.
// Needs what is not in the repository, and is skipped without: CORTENSOR_LLAMA3_VOCABULARY, a file made by
// tools/golden/llama3_vocabulary_to_gguf.py; CORTENSOR_CONFORMANCE, the folder with tokenizer/llama-bpe.inp
// and .out; CORTENSOR_LLAMA3_STRINGS, a file made by tests/conformance/tokenizer_strings.mjs.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>

#include "engine/tokenizer.h"

namespace cortensor::engine {
namespace {

std::string read_all(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

Result<Tokenizer> llama3(const char* vocabulary) {
  const auto file = GgufFile::open(vocabulary);
  if (!file) return file.error();
  return Tokenizer::from_gguf(*file);
}

TEST(TokenizerConformance, EncodesLikeLlama3) {
  const char* folder = std::getenv("CORTENSOR_CONFORMANCE");
  const char* vocabulary = std::getenv("CORTENSOR_LLAMA3_VOCABULARY");
  if (folder == nullptr || vocabulary == nullptr)
    GTEST_SKIP() << "needs CORTENSOR_CONFORMANCE and CORTENSOR_LLAMA3_VOCABULARY";
  const auto tokenizer = llama3(vocabulary);
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

TEST(TokenizerConformance, EncodesRandomUnicodeLikeThePackage) {
  const char* strings = std::getenv("CORTENSOR_LLAMA3_STRINGS");
  const char* vocabulary = std::getenv("CORTENSOR_LLAMA3_VOCABULARY");
  if (strings == nullptr || vocabulary == nullptr)
    GTEST_SKIP() << "needs CORTENSOR_LLAMA3_STRINGS and CORTENSOR_LLAMA3_VOCABULARY";
  const auto tokenizer = llama3(vocabulary);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;

  const std::string bytes = read_all(strings);
  ByteReader reader({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
  int compared = 0;
  for (; reader.left() > 0 && !reader.failed(); ++compared) {
    const std::string text(text_of(reader.raw(reader.number<std::uint32_t>())));
    std::vector<TokenId> expected(reader.number<std::uint32_t>());
    for (TokenId& token : expected) token = reader.number<std::uint32_t>();
    // The package takes the names of control tokens for those tokens.
    ASSERT_EQ(tokenizer->encode(text, {.special = true}), expected)
        << "string " << compared << ": " << testing::PrintToString(text);
  }
  EXPECT_FALSE(reader.failed());
  EXPECT_GE(compared, 1000);
  std::cout << compared << " strings compared\n";
}

}  // namespace
}  // namespace cortensor::engine
