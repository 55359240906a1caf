// Claims: a grammar accepts exactly the texts that its rules describe, byte by byte; what can never end,
// begins with itself or grows too large is refused by line; forgetting states changes nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "engine/constraint.h"
#include "engine/grammar_matcher.h"

namespace cortensor::engine {
namespace {

using testing::HasSubstr;

GrammarMatcher matcher_of(const std::string& text) {
  auto grammar = compile_grammar(text);
  EXPECT_TRUE(grammar) << grammar.error().message << "\n" << text;
  return GrammarMatcher(std::make_shared<const Grammar>(grammar ? std::move(*grammar) : Grammar{}));
}

enum class Verdict { no, begun, whole };

Verdict follow(GrammarMatcher& matcher, std::string_view text) {
  auto state = matcher.start();
  for (const char byte : text) state = matcher.next(state, static_cast<std::uint8_t>(byte));
  return state == GrammarMatcher::kDead ? Verdict::no
         : matcher.complete(state)      ? Verdict::whole
                                        : Verdict::begun;
}

struct Case {
  std::string grammar;
  std::vector<std::string> whole, begun, no;
};

TEST(Grammar, AcceptsWhatItsRulesDescribe) {
  const Case cases[] = {
      {"root ::= \"yes\" | \"no\"", {"yes", "no"}, {"", "y", "ye", "n"}, {"x", "yess", "nos"}},
      {"root ::= [a-c]{2,3} #comment\n# another", {"ab", "cba"}, {"", "a"}, {"d", "abcd"}},
      {"root ::= \"a\"* \"b\"+ \"c\"?", {"b", "aabb", "bc"}, {"", "aaa"}, {"c", "ba", "bcc"}},
      {"root ::= pair{2,} end\npair ::= \"(\" pair* \")\"\nend ::= \"\"",
       {"()()", "(())()()"},
       {"()", "(()"},
       {")", "(a"}},
      {"root ::= (\"a\" | \"b\" \"c\") (\"\" | \"d\")", {"a", "bc", "ad", "bcd"}, {"b"}, {"c", "ab"}},
      {"root ::= [^\"\\\\]",
       {"a", "é", "字", "😀", "\n"},
       {"", "\xc3", "\xf0\x9f"},
       {"\"", "\\", "\xff", "\xc0", "\xed\xa0"}},
      {"root ::= [à-ü字-\\U0001F600]", {"é", "字", "😀"}, {"\xe5"}, {"a", "ý", "😁"}},
      {"root ::= . \"\\x41\\u00e9\\n\"", {"xAé\n", "éAé\n"}, {"x"}, {"xB", "\x80"}},
      {"root ::= [a\\-z\\]^]+", {"a", "-", "z", "]", "^-"}, {}, {"b"}},
      // The empty text between brackets, and loops around what may be empty.
      {"root ::= (\"a\"?)* \"b\" empty* empty\nempty ::= \"\" | empties\nempties ::= (\"\")*",
       {"b", "aab"},
       {"aa"},
       {"bb"}},
      // Ambiguous, and recursive at the end and in the middle.
      {"root ::= \"a\" root \"a\" | \"a\" root | \"a\"", {"a", "aa", "aaaaaa"}, {""}, {"b"}},
      {"list ::= item (\",\" list)?\nroot ::= list\nitem ::= [0-9]+", {"1", "1,22,3"}, {"1,"}, {",", "1,,"}},
  };
  for (const Case& c : cases) {
    GrammarMatcher matcher = matcher_of(c.grammar);
    for (const auto& text : c.whole)
      EXPECT_EQ(follow(matcher, text), Verdict::whole) << c.grammar << " | " << text;
    for (const auto& text : c.begun)
      EXPECT_EQ(follow(matcher, text), Verdict::begun) << c.grammar << " | " << text;
    for (const auto& text : c.no) EXPECT_EQ(follow(matcher, text), Verdict::no) << c.grammar << " | " << text;
  }
}

// Every set of characters against the plain meaning of its ranges, for every code point.
TEST(Grammar, SetsOfCharactersAreTheirCodePoints) {
  const auto utf8 = [](std::uint32_t code) {
    std::string out;
    if (code < 0x80) return std::string(1, static_cast<char>(code));
    const int length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    out += static_cast<char>((0xf00 >> length & 0xff) | code >> 6 * (length - 1));
    for (int i = length - 2; i >= 0; --i) out += static_cast<char>(0x80 | (code >> 6 * i & 0x3f));
    return out;
  };
  struct Set {
    std::string text;
    bool (*has)(std::uint32_t);
  };
  const Set sets[] = {
      {"[\\u0041-\\u0905\\u0907\\U00010437-\\U0010f123]",
       [](std::uint32_t c) {
         return (c >= 0x41 && c <= 0x905) || c == 0x907 || (c >= 0x10437 && c <= 0x10f123);
       }},
      {"[^\\u0080-\\uffee]", [](std::uint32_t c) { return c < 0x80 || c > 0xffee; }},
      {"[\\u07f0-\\u0810\\ud000-\\ue001]",
       [](std::uint32_t c) { return (c >= 0x7f0 && c <= 0x810) || (c >= 0xd000 && c <= 0xe001); }},
  };
  for (const Set& set : sets) {
    GrammarMatcher matcher = matcher_of("root ::= " + set.text);
    for (std::uint32_t code = 0; code <= 0x10ffff; ++code) {
      const bool surrogate = code >= 0xd800 && code <= 0xdfff;
      const bool expected = set.has(code) && !surrogate;
      ASSERT_EQ(follow(matcher, utf8(code)) == Verdict::whole, expected) << set.text << " " << code;
    }
  }
}

TEST(Grammar, WhatIsNoGrammarIsRefusedByLine) {
  const std::pair<std::string, std::string> cases[] = {
      {"", "expected a rule 'root'"},
      {"a ::= \"x\"", "expected a rule 'root'"},
      {"root ::= \"x\"\nroot ::= \"y\"", "line 2: rule 'root' is defined twice"},
      {"root ::= other", "line 1: rule 'other' is not defined"},
      {"root ::= (\"x\"", "expected ')'"},
      {"root ::= \"x", "expected '\"' at the end"},
      {"root ::= \"\\", "unknown escape"},
      {"root ::= \"\\q\"", "unknown escape"},
      {"root ::= \"\\u12\"", "expected 4 hexadecimal digits"},
      {"root ::= \"\\ud800\"", "a surrogate"},
      {"root ::= \"\\U00110000\"", "up to 10FFFF"},
      {"root ::= \"\xff\"", "expected UTF-8"},
      {"root ::= []", "at least one character"},
      {"root ::= [^\\U00000000-\\U0010ffff]", "at least one character"},
      {"root ::= [b-a]", "rising range"},
      {"root ::= [a", "expected ']'"},
      {"root ::= \"x\"{3,2}", "rising range of repetitions"},
      {"root ::= \"x\"{99999}", "at most 10000 repetitions"},
      {"root ::= \"x\"**", "expected a text"},
      {"root ::= \"x\")", "expected an element or the next rule"},
      {"= \"x\"", "expected a rule"},
      {"root ::= root \"x\" | \"y\"", "rule 'root' begins with itself"},
      {"root ::= a\na ::= b? c\nb ::= \"x\"\nc ::= a \"y\" | \"z\"", "begins with itself"},
      {"root ::= a\na ::= \"x\" a", "can never end"},
      {"root ::= ((\"x\"{1000}){1000}){1000}", "nodes"},
      {"root ::= " + std::string(65, '(') + "\"x\"" + std::string(65, ')'), "brackets in one another"},
      {"root ::= \"x\" #" + std::string(kMaxGrammarBytes, 'c'), "at most 65536 bytes"},
  };
  for (const auto& [text, message] : cases) {
    const Status status = check_grammar(text);
    ASSERT_FALSE(status) << text.substr(0, 100);
    EXPECT_EQ(status.error().kind, ErrorKind::invalid_input);
    EXPECT_THAT(status.error().message, HasSubstr(message)) << text.substr(0, 100);
  }
  std::string many;
  for (int i = 0; i < 2049; ++i) many += "r" + std::to_string(i) + " ::= \"x\"\n";
  EXPECT_THAT(check_grammar(many).error().message, HasSubstr("at most 2048 rules"));
}

TEST(Grammar, LimitsHoldWhereverAGrammarLeads) {
  // As many stacks as ways to have chosen between the two alternatives: refused before the first byte, or not
  // allowed where the limit is passed.
  std::string doubling;
  for (int i = 0; i < 14; ++i)
    doubling += "r" + std::to_string(i) + " ::= r" + std::to_string(i + 1) + " \"a\" | r" +
                std::to_string(i + 1) + " \"b\"\n";
  EXPECT_THAT(check_grammar("root ::= r0\n" + doubling + "r14 ::= \"x\"").error().message,
              HasSubstr("more than 4096 ways"));

  GrammarMatcher choices = matcher_of("root ::= \"a\" root \"x\" | \"a\" root \"y\" | \"b\"");
  EXPECT_EQ(follow(choices, std::string(9, 'a') + "b"), Verdict::begun);
  EXPECT_EQ(follow(choices, std::string(20, 'a')), Verdict::no);

  GrammarMatcher nested = matcher_of("root ::= \"[\" root \"]\" | \"\"");
  EXPECT_EQ(follow(nested, std::string(512, '[') + std::string(512, ']')), Verdict::whole);
  EXPECT_EQ(follow(nested, std::string(513, '[')), Verdict::no);

  // At the end of a rule nothing is kept, so lists may be as long as they like.
  GrammarMatcher list = matcher_of("root ::= \"a\" root | \"\"");
  EXPECT_EQ(follow(list, std::string(100'000, 'a')), Verdict::whole);
}

// Pieces of grammars in any order: refused with a reason, or followed within the limits.
TEST(Grammar, AnyTextIsRefusedOrFollowed) {
  const char* pieces[] = {"root", " ::= ", "a",   "b ", "\"x\"", "\"\"",      "[a-z]",  "[^x\\]]",       "(",
                          ")",    "|",     "*",   "+",  "?",     "{2}",       "{0,3}",  "{1,}",          ".",
                          "\n",   "#",     "\"é", "\\", "\xff",  "root ::= ", "a ::= ", "\na ::= \"y\" "};
  std::uint32_t seed = 1;
  const auto below = [&](std::uint32_t end) {
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % end;
  };
  int compiled = 0;
  for (int round = 0; round < 30'000; ++round) {
    std::string text = "root ::= ";
    for (std::uint32_t i = below(14); i > 0; --i) text += pieces[below(std::size(pieces))];
    auto grammar = compile_grammar(text);
    if (!grammar) {
      ASSERT_FALSE(grammar.error().message.empty());
      continue;
    }
    ++compiled;
    GrammarMatcher matcher(std::make_shared<const Grammar>(std::move(*grammar)));
    auto state = matcher.start();
    ASSERT_NE(state, GrammarMatcher::kDead) << text;
    // Whatever is allowed can go on or is whole, far from the limits: no dead ends.
    for (int step = 0; step < 4; ++step) {
      std::vector<GrammarMatcher::State> next;
      for (int byte = 0; byte < 256; ++byte)
        if (const auto to = matcher.next(state, static_cast<std::uint8_t>(byte)); to != GrammarMatcher::kDead)
          next.push_back(to);
      ASSERT_TRUE(!next.empty() || matcher.complete(state)) << text;
      if (next.empty()) break;
      state = next[below(static_cast<std::uint32_t>(next.size()))];
    }
  }
  EXPECT_GT(compiled, 1000);
}

TEST(Grammar, ForgettingStatesChangesNothing) {
  GrammarMatcher matcher = matcher_of("root ::= \"(\" (root | [a-z]{0,40}) \")\" | \"<\" root \">\" root");
  const std::string text = "<<(abc)>((x))>((((q))))";
  auto state = matcher.start();
  for (const char byte : text) {
    std::vector<GrammarMatcher::State> kept{state, matcher.start()};
    const bool complete = matcher.complete(state);
    matcher.forget_all_but(kept);
    state = kept[0];
    EXPECT_EQ(matcher.complete(state), complete);
    EXPECT_EQ(kept[1], matcher.start());
    state = matcher.next(state, static_cast<std::uint8_t>(byte));
    ASSERT_NE(state, GrammarMatcher::kDead);
  }
  EXPECT_TRUE(matcher.complete(state));
  EXPECT_EQ(follow(matcher, text), Verdict::whole);
}

}  // namespace
}  // namespace cortensor::engine
