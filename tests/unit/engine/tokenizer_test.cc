// Claims: texts are cut as Llama 3's regular expression cuts them; merges go by rank, leftmost first, with
// whole pieces taken at once; scored vocabularies merge by score and fall back to bytes; every text, valid or
// not, comes back from its tokens; control tokens come only from those who may ask for them; broken
// vocabularies are refused.
#include "engine/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "arith/philox.h"
#include "engine/llama3_split.h"
#include "tiny_vocabulary.h"

namespace cortensor::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Pieces = std::vector<std::string>;

Tokenizer load(const Bytes& bytes) {
  auto file = GgufFile::parse(bytes);
  EXPECT_TRUE(file) << file.error().message;
  auto tokenizer = Tokenizer::from_gguf(*file);
  EXPECT_TRUE(tokenizer) << tokenizer.error().message;
  return std::move(*tokenizer);
}

Pieces split(std::string_view text) {
  Pieces pieces;
  while (!text.empty()) {
    const std::size_t length = llama3_piece(text, 0);
    pieces.emplace_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return pieces;
}

TEST(Llama3Split, CutsAsTheExpressionDoes) {
  const std::pair<std::string, Pieces> cases[] = {
      {"Hello world", {"Hello", " world"}},
      {"it's we'll I'D they'Ve 'quote'",
       {"it", "'s", " we", "'ll", " I", "'D", " they", "'Ve", " '", "quote", "'"}},
      {"'sX 'lX", {"'s", "X", " '", "lX"}},
      {"1234567", {"123", "456", "7"}},
      {"a1b22", {"a", "1", "b", "22"}},
      {" 12", {" ", "12"}},
      {"x = (y+z);\n\n  next", {"x", " =", " (", "y", "+z", ");\n\n", " ", " next"}},
      {"a  b", {"a", " ", " b"}},
      {"a   ", {"a", "   "}},
      {"a \n b", {"a", " \n", " b"}},
      {"  \n \n x", {"  \n \n", " x"}},
      {"\t\tx", {"\t", "\tx"}},
      {"\ttabs", {"\ttabs"}},
      {"\nword", {"\n", "word"}},
      {"...word", {"...", "word"}},
      {".word", {".word"}},
      {" .5", {" .", "5"}},
      {"  !!", {" ", " !!"}},
      {"\xc2\xa0 x", {"\xc2\xa0", " x"}},  // no-break space is a space
      {"\xc2\xa0x", {"\xc2\xa0x"}},
      {"\xe3\x80\x80\xe3\x80\x80", {"\xe3\x80\x80\xe3\x80\x80"}},  // ideographic spaces
      {"na\xc3\xafve \xd0\x91\xd1\x8a", {"na\xc3\xafve", " \xd0\x91\xd1\x8a"}},
      {"e\xcc\x81 x", {"e", "\xcc\x81", " x"}},  // a combining mark is no letter
      {"\xd9\xa1\xd9\xa2\xd9\xa3\xd9\xa4", {"\xd9\xa1\xd9\xa2\xd9\xa3", "\xd9\xa4"}},  // Arabic digits
      {"\xf0\x9f\xa6\x99ok", {"\xf0\x9f\xa6\x99ok"}},
      {"'\xc5\xbfx", {"'\xc5\xbf", "x"}},  // the long s is an s
      {"\xff\xfe"
       "a",
       {"\xff\xfe", "a"}},  // bytes that are no text
      {"a\xe2\x82", {"a", "\xe2\x82"}},
  };
  for (const auto& [text, pieces] : cases) EXPECT_EQ(split(text), pieces) << text;
}

TEST(ByteLevel, MergesByRankAndThenFromTheLeft) {
  const ByteLevelVocabulary vocabulary{.merges = {{"b", "c"}, {"a", "b"}, {"a", "a"}, {"aa", "a"}}};
  const Tokenizer tokenizer = load(vocabulary.file());
  EXPECT_THAT(tokenizer.encode("ab"), ElementsAre(257));
  EXPECT_THAT(tokenizer.encode("abcz"), ElementsAre('a', 256, 'z')) << "b c has the better rank";
  EXPECT_THAT(tokenizer.encode("aaaaz"), ElementsAre(258, 258, 'z')) << "all of the better rank first";
  EXPECT_THAT(tokenizer.encode("aaaz"), ElementsAre(259, 'z'));
  EXPECT_THAT(tokenizer.encode(""), ElementsAre());
}

TEST(ByteLevel, AWholePieceIsTakenAtOnce) {
  const ByteLevelVocabulary vocabulary{.merges = {{"l", "o"}}, .whole = {" hello"}};
  const Tokenizer tokenizer = load(vocabulary.file());
  EXPECT_THAT(tokenizer.encode(" hello"), ElementsAre(257)) << "no merges lead there";
  EXPECT_THAT(tokenizer.encode(" hellos"), ElementsAre(' ', 'h', 'e', 'l', 256, 's'));
}

TEST(ByteLevel, ControlTokensComeOnlyOnRequest) {
  const ByteLevelVocabulary vocabulary;
  const Tokenizer tokenizer = load(vocabulary.file());
  const std::string text = "a<|eot_id|>b";
  EXPECT_THAT(tokenizer.encode(text, {.special = true}), ElementsAre('a', vocabulary.eot(), 'b'));
  const auto plain = tokenizer.encode(text);
  EXPECT_EQ(plain.size(), text.size());
  for (const TokenId id : plain) EXPECT_FALSE(tokenizer.is_control(id));
  EXPECT_EQ(tokenizer.decode(plain), text);
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(text, {.special = true})), "ab");
}

TEST(ByteLevel, KnowsItsSpecialTokens) {
  const ByteLevelVocabulary vocabulary;
  const Tokenizer tokenizer = load(vocabulary.file());
  EXPECT_EQ(tokenizer.bos(), vocabulary.bos());
  EXPECT_EQ(tokenizer.eos(), vocabulary.eos());
  EXPECT_EQ(tokenizer.eot(), vocabulary.eot()) << "by its name: the file has no key for it";
  EXPECT_THAT(tokenizer.stop_tokens(), ElementsAre(vocabulary.eos(), vocabulary.eot()));
  EXPECT_TRUE(tokenizer.adds_bos());
  EXPECT_THAT(tokenizer.encode_prompt("a"), ElementsAre(vocabulary.bos(), 'a'));
  EXPECT_EQ(tokenizer.token_bytes(vocabulary.eot()), "");
  EXPECT_EQ(tokenizer.token_bytes(~0u), "");
  EXPECT_EQ(tokenizer.token_bytes(0xe9), "\xe9");
  EXPECT_EQ(tokenizer.vocab_size(), 261u);
}

// Chat models' files say that the end of turn is the end of text; their plain texts end with the other token.
TEST(ByteLevel, EveryKnownEndEndsAnAnswer) {
  ByteLevelVocabulary vocabulary;
  vocabulary.eos_in_file = vocabulary.eot();
  const Tokenizer tokenizer = load(vocabulary.file());
  EXPECT_EQ(tokenizer.eos(), vocabulary.eot());
  EXPECT_THAT(tokenizer.stop_tokens(), ElementsAre(vocabulary.eos(), vocabulary.eot()));
}

// Merging by the definition: again and again the best pair, the leftmost of equals.
std::vector<TokenId> merge_slowly(const ByteLevelVocabulary& vocabulary, std::string_view piece) {
  std::vector<std::string> parts;
  for (const char byte : piece) parts.emplace_back(1, byte);
  while (true) {
    std::size_t best_rank = vocabulary.merges.size(), best_at = 0;
    for (std::size_t at = 0; at + 1 < parts.size(); ++at)
      for (std::size_t rank = 0; rank < best_rank; ++rank)
        if (vocabulary.merges[rank] == std::pair(parts[at], parts[at + 1])) best_rank = rank, best_at = at;
    if (best_rank == vocabulary.merges.size()) break;
    parts[best_at] += parts[best_at + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best_at) + 1);
  }
  std::vector<TokenId> tokens;
  for (const std::string& part : parts) {
    TokenId id = static_cast<std::uint8_t>(part[0]);
    for (std::size_t rank = 0; part.size() > 1 && rank < vocabulary.merges.size(); ++rank)
      if (vocabulary.merges[rank].first + vocabulary.merges[rank].second == part)
        id = static_cast<TokenId>(256 + rank);
    tokens.push_back(id);
  }
  return tokens;
}

TEST(ByteLevel, AgreesWithMergingByTheDefinition) {
  const ByteLevelVocabulary vocabulary{.merges = {{"a", "b"},
                                                  {"b", "a"},
                                                  {"ab", "a"},
                                                  {"a", "a"},
                                                  {"ba", "ab"},
                                                  {"aa", "b"},
                                                  {"c", "ab"},
                                                  {"aba", "c"},
                                                  {"aa", "aa"}}};
  const Tokenizer tokenizer = load(vocabulary.file());
  for (std::uint32_t round = 0; round < 2000; ++round) {
    std::string text = "d";  // no token begins with it, so no whole piece is a token
    for (std::uint32_t i = 0; i < 3 + round % 20; ++i)
      text += static_cast<char>('a' + arith::philox({i, round, 0, 0}, {3, 4})[0] % 3);
    ASSERT_EQ(tokenizer.encode(text), merge_slowly(vocabulary, text)) << text;
  }
}

TEST(ByteLevel, ALongPieceTakesNoTimeWorthMentioning) {
  const ByteLevelVocabulary vocabulary{.merges = {{"a", "a"}, {"aa", "aa"}, {"aaaa", "aaaa"}}};
  const Tokenizer tokenizer = load(vocabulary.file());
  const std::string text(1 << 20, 'a');
  EXPECT_EQ(tokenizer.encode(text), std::vector<TokenId>(text.size() / 8, 258));
  EXPECT_EQ(tokenizer.encode(std::string(1 << 20, ' ')).size(), 1u << 20);
}

TEST(Scored, MergesByScoreAndFallsBackToBytes) {
  // The better score wins although the other pair comes first.
  const ScoredVocabulary vocabulary{
      {{" ", -1}, {"a", -2}, {"b", -3}, {"c", -4}, {"ab", -9}, {"bc", -5}, {" a", -6}}};
  const Tokenizer tokenizer = load(vocabulary.file());
  EXPECT_THAT(tokenizer.encode("bc"), ElementsAre(259, 264));
  EXPECT_THAT(tokenizer.encode("abc"), ElementsAre(265, 264));
  EXPECT_THAT(tokenizer.encode("a\xc3\xa9"), ElementsAre(265, 3 + 0xc3, 3 + 0xa9))
      << "no token for the character";
  EXPECT_THAT(tokenizer.encode("\n"), ElementsAre(259, 3 + '\n'));
  EXPECT_THAT(tokenizer.encode(""), ElementsAre());
  EXPECT_THAT(tokenizer.encode_prompt(""), ElementsAre(1));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("abc")), "abc") << "without the space in front";
  EXPECT_EQ(tokenizer.token_bytes(265), " a");
  EXPECT_EQ(tokenizer.token_bytes(1), "");
  EXPECT_THAT(tokenizer.stop_tokens(), ElementsAre(2));
  EXPECT_TRUE(tokenizer.adds_space());
}

TEST(Tokenizers, EveryTextComesBack) {
  const Tokenizer byte_level = load(ByteLevelVocabulary{.merges = {{" ", "a"}, {"\xe2", "\x96"}}}.file());
  const Tokenizer scored =
      load(ScoredVocabulary{{{" ", 0}, {"a", 1}, {"  ", 2}, {"\xc3\xa9", 3}, {"a ", 4}}}.file());
  for (std::uint32_t round = 0; round < 3000; ++round) {
    std::string text;
    for (std::uint32_t i = 0; i < round % 40; ++i) {
      const auto word = arith::philox({i, round, 0, 0}, {5, 6});
      static const char* const kParts[] = {"a", " ", "\xe2\x96\x81", "\xc3\xa9", "<0x41>", "<s>", "\n", "'s"};
      text += word[0] % 3 == 0 ? std::string(1, static_cast<char>(word[1])) : kParts[word[1] % 8];
    }
    ASSERT_EQ(byte_level.decode(byte_level.encode(text)), text);
    ASSERT_EQ(scored.decode(scored.encode(text)), text);
  }
}

TEST(Tokenizers, TheDigestDependsOnEveryRule) {
  const ByteLevelVocabulary base{.merges = {{"a", "b"}, {"c", "d"}}};
  EXPECT_EQ(load(base.file()).digest(), load(base.file()).digest());
  ByteLevelVocabulary swapped = base, more = base;
  std::swap(swapped.merges[0], swapped.merges[1]);
  more.whole = {"xyz"};
  EXPECT_NE(load(base.file()).digest(), load(swapped.file()).digest());
  EXPECT_NE(load(base.file()).digest(), load(more.file()).digest());
  ByteLevelVocabulary other_template = base;
  other_template.chat_template = "";
  EXPECT_EQ(load(base.file()).digest(), load(other_template.file()).digest()) << "templates have their own";
}

struct BrokenVocabulary {
  std::string name;
  std::function<void(GgufWriter&)> write;
  std::string message;
};

void write_alphabet(GgufWriter& writer, std::size_t types, std::size_t missing = 256) {
  std::vector<std::string> texts;
  for (unsigned byte = 0; byte < 256; ++byte)
    if (byte != missing) texts.push_back(alphabet(static_cast<std::uint8_t>(byte)));
  writer.add_string("tokenizer.ggml.model", "gpt2");
  writer.add_string("tokenizer.ggml.pre", "llama-bpe");
  writer.add_strings("tokenizer.ggml.tokens", texts);
  writer.add_i32s("tokenizer.ggml.token_type", std::vector<std::int32_t>(types, 1));
}

const BrokenVocabulary kBroken[] = {
    {"NoModel", [](GgufWriter&) {}, "tokenizer.ggml.model: not in the file"},
    {"OtherModel", [](GgufWriter& w) { w.add_string("tokenizer.ggml.model", "bert"); },
     "other than gpt2 and llama"},
    {"OtherSplit",
     [](GgufWriter& w) {
       w.add_string("tokenizer.ggml.model", "gpt2");
       w.add_string("tokenizer.ggml.pre", "qwen2");
     },
     "other than llama-bpe"},
    {"NoTokens", [](GgufWriter& w) { w.add_string("tokenizer.ggml.model", "llama"); },
     "tokens: not in the file"},
    {"MissingByte", [](GgufWriter& w) { write_alphabet(w, 255, 'q'); }, "no token for the byte 113"},
    {"TypeCount", [](GgufWriter& w) { write_alphabet(w, 12); }, "expected 256 token types, found 12"},
    {"NoMerges", [](GgufWriter& w) { write_alphabet(w, 256); }, "merges: not in the file"},
    {"MergeOfUnknown",
     [](GgufWriter& w) {
       write_alphabet(w, 256);
       w.add_strings("tokenizer.ggml.merges", std::vector<std::string>{"a b"});
     },
     "merge 0 names a token that is not in the vocabulary"},
    {"MergeOfOne",
     [](GgufWriter& w) {
       write_alphabet(w, 256);
       w.add_strings("tokenizer.ggml.merges", std::vector<std::string>{"ab"});
     },
     "merge 0 is not a pair"},
    {"IdOutOfRange",
     [](GgufWriter& w) {
       write_alphabet(w, 256);
       w.add_strings("tokenizer.ggml.merges", {});
       w.add_u32("tokenizer.ggml.bos_token_id", 256);
     },
     "bos_token_id: expected an id below 256, found 256"},
    {"Alphabet",
     [](GgufWriter& w) {
       w.add_string("tokenizer.ggml.model", "gpt2");
       w.add_string("tokenizer.ggml.pre", "llama-bpe");
       w.add_strings("tokenizer.ggml.tokens", std::vector<std::string>{"a b"});
     },
     "token 0 is not spelled as its type demands"},
    {"Empty",
     [](GgufWriter& w) {
       w.add_string("tokenizer.ggml.model", "llama");
       w.add_strings("tokenizer.ggml.tokens", std::vector<std::string>{"a", ""});
     },
     "token 1 is empty"},
};

void PrintTo(const BrokenVocabulary& vocabulary, std::ostream* out) {
  *out << vocabulary.name;
}

class TokenizerBroken : public ::testing::TestWithParam<BrokenVocabulary> {};

TEST_P(TokenizerBroken, IsRefusedWithTheReason) {
  GgufWriter writer;
  GetParam().write(writer);
  const Bytes bytes = writer.to_bytes({});
  const auto file = GgufFile::parse(bytes);
  ASSERT_TRUE(file) << file.error().message;
  const auto tokenizer = Tokenizer::from_gguf(*file);
  ASSERT_FALSE(tokenizer);
  EXPECT_THAT(tokenizer.error().message, HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(All, TokenizerBroken, ::testing::ValuesIn(kBroken),
                         [](const auto& broken) { return broken.param.name; });

}  // namespace
}  // namespace cortensor::engine
