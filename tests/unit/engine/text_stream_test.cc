// Claims: whatever way a text is cut into tokens, the client gets it whole, in valid UTF-8, without any part
// of a stop string; the answer ends at the token that completes a stop string, at a stop token, or at the
// limits.
#include "engine/text_stream.h"

#include <gtest/gtest.h>

#include "arith/philox.h"
#include "tiny_vocabulary.h"

namespace cortensor::engine {
namespace {

// Bytes are tokens here (id = byte); " a" is 256, "end" is 257.
class TextStreams : public ::testing::Test {
 protected:
  TextStreams() : vocabulary_{.merges = {}, .whole = {" a", "end"}} {
    const Bytes bytes = vocabulary_.file();
    tokenizer_.emplace(*Tokenizer::from_gguf(*GgufFile::parse(bytes)));
  }
  GenerationRequest request(std::vector<std::string> stop_strings = {}) const {
    GenerationRequest request;
    request.prompt = {vocabulary_.bos()};
    request.max_tokens = 1000;
    request.stop_tokens = {vocabulary_.eot()};
    request.stop_strings = std::move(stop_strings);
    return request;
  }
  static std::vector<TokenId> bytes_as_tokens(std::string_view text) {
    std::vector<TokenId> tokens;
    for (const char byte : text) tokens.push_back(static_cast<std::uint8_t>(byte));
    return tokens;
  }
  struct Run {
    std::string text;
    std::vector<std::string> pieces;
    std::optional<FinishReason> finished;
    std::size_t fed = 0;
  };
  Run run(const GenerationRequest& request, const std::vector<TokenId>& tokens,
          std::uint32_t context = 2000) const {
    TextStream stream(request, *tokenizer_, context);
    StopMatcher matcher(request, *tokenizer_, context);
    Run run;
    for (const TokenId token : tokens) {
      const TextStream::Piece piece = stream.feed(token);
      EXPECT_EQ(piece.finished, matcher.feed(token)) << "both have one rule";
      run.pieces.push_back(piece.text);
      run.text += piece.text;
      ++run.fed;
      if ((run.finished = piece.finished)) break;
    }
    if (!run.finished) run.text += stream.flush();
    return run;
  }

  ByteLevelVocabulary vocabulary_;
  std::optional<Tokenizer> tokenizer_;
};

TEST_F(TextStreams, SequencesAreHeldUntilWhole) {
  const Run whole = run(request(), bytes_as_tokens("a\xe2\x82\xac"
                                                   "b"));
  EXPECT_EQ(whole.pieces, (std::vector<std::string>{"a", "", "", "\xe2\x82\xac", "b"}));
}

TEST_F(TextStreams, BrokenBytesBecomeOneReplacementPerPart) {
  EXPECT_EQ(run(request(), bytes_as_tokens("\xff"
                                           "a"))
                .text,
            "\xef\xbf\xbd"
            "a");
  EXPECT_EQ(run(request(), bytes_as_tokens("\xe2\x82"
                                           "a"))
                .text,
            "\xef\xbf\xbd"
            "a");
  EXPECT_EQ(run(request(), bytes_as_tokens("\xe2\x82")).text, "\xef\xbf\xbd") << "at the end";
  EXPECT_EQ(run(request(), bytes_as_tokens("\xed\xa0\x80")).text, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd")
      << "surrogate";
  EXPECT_EQ(run(request(), bytes_as_tokens("\xc0\xaf")).text, "\xef\xbf\xbd\xef\xbf\xbd") << "overlong";
}

TEST_F(TextStreams, AStopStringEndsTheAnswerAndIsNotDelivered) {
  const Run stopped = run(request({"STOP"}), bytes_as_tokens("aSTSTOPx"));
  EXPECT_EQ(stopped.text, "aST");
  EXPECT_EQ(stopped.finished, FinishReason::stop);
  EXPECT_EQ(stopped.fed, 7u);
  EXPECT_EQ(stopped.pieces, (std::vector<std::string>{"a", "", "", "ST", "", "", ""}));
}

TEST_F(TextStreams, ATokenMayCarryTheEndOfAStopStringAndMore) {
  const Run stopped = run(request({"xe"}), {'h', 'x', 257});
  EXPECT_EQ(stopped.text, "h") << "neither the string nor what the token has after it";
  EXPECT_EQ(stopped.finished, FinishReason::stop);
  EXPECT_EQ(run(request({"n"}), {'h', 257}).text, "he");
}

TEST_F(TextStreams, TheFirstStringToEndCountsTheLongestOfThem) {
  EXPECT_EQ(run(request({"bc", "abc"}), bytes_as_tokens("xabcd")).text, "x");
  EXPECT_EQ(run(request({"abcd", "bc"}), bytes_as_tokens("xabcd")).text, "xa");
  EXPECT_EQ(run(request({"aab"}), bytes_as_tokens("aaab")).text, "a") << "a prefix that falls back";
}

TEST_F(TextStreams, WhatLooksLikeAStopStringComesInTheEnd) {
  const Run run_out = run(request({"STOP"}), bytes_as_tokens("aSTO"));
  EXPECT_EQ(run_out.text, "aSTO") << "when the answer breaks off";
  GenerationRequest limited = request({"STOP"});
  limited.max_tokens = 3;
  EXPECT_EQ(run(limited, bytes_as_tokens("aST")).text, "aST") << "when it reaches its length";
  std::vector<TokenId> ended = bytes_as_tokens("aST");
  ended.push_back(vocabulary_.eot());
  EXPECT_EQ(run(request({"STOP"}), ended).text, "aST") << "at a stop token";
}

TEST_F(TextStreams, LimitsEndTheAnswer) {
  GenerationRequest limited = request();
  limited.max_tokens = 2;
  EXPECT_EQ(run(limited, bytes_as_tokens("abc")).fed, 2u);
  EXPECT_EQ(run(limited, bytes_as_tokens("abc")).finished, FinishReason::length);
  EXPECT_EQ(run(request(), bytes_as_tokens("abcdef"), 4).fed, 3u) << "the prompt has one of four places";
  limited.stop_strings = {"b"};
  EXPECT_EQ(run(limited, bytes_as_tokens("abc")).finished, FinishReason::stop) << "stop comes before length";
}

TEST_F(TextStreams, AStopTokenHasNoText) {
  GenerationRequest stops_at_end = request();
  stops_at_end.stop_tokens = {257};
  const Run stopped = run(stops_at_end, {'h', 257});
  EXPECT_EQ(stopped.text, "h");
  EXPECT_EQ(stopped.finished, FinishReason::stop);
}

TEST_F(TextStreams, AgreesWithAPlainSearchOfTheWholeText) {
  const std::vector<std::string> stops{"aba", "bb", "abca"};
  for (std::uint32_t round = 0; round < 3000; ++round) {
    std::string text;
    for (std::uint32_t i = 0; i < 24; ++i)
      text += static_cast<char>('a' + arith::philox({i, round, 0, 0}, {7, 8})[0] % 3);
    std::size_t end = text.size() + 1, begin = 0;
    for (std::size_t e = 1; e <= text.size() && end > text.size(); ++e)
      for (const std::string& stop : stops)
        if (std::string_view(text).substr(0, e).ends_with(stop) &&
            (end > text.size() || e - stop.size() < begin))
          end = e, begin = e - stop.size();
    const Run result = run(request(stops), bytes_as_tokens(text));
    ASSERT_EQ(result.finished.has_value(), end <= text.size()) << text;
    ASSERT_EQ(result.text, end <= text.size() ? text.substr(0, begin) : text);
    ASSERT_EQ(result.fed, std::min(end, text.size()));
  }
}

TEST(TextStreamOfScored, TheAnswersOwnLeadingSpaceGoesOnlyAtTheBeginningOfTheText) {
  const Bytes bytes = ScoredVocabulary{{{" ", 0}, {" Once", 1}}}.file();
  const auto tokenizer = Tokenizer::from_gguf(*GgufFile::parse(bytes));
  ASSERT_TRUE(tokenizer);
  GenerationRequest request;
  request.prompt = {1};
  request.max_tokens = 10;
  EXPECT_EQ(TextStream(request, *tokenizer, 100).feed(260).text, "Once");
  request.prompt.push_back(260);
  EXPECT_EQ(TextStream(request, *tokenizer, 100).feed(260).text, " Once");
}

}  // namespace
}  // namespace cortensor::engine
