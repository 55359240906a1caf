// Claims: the grammar of a schema accepts values that the schema accepts and none that it does not; what a
// schema has that we do not do is refused by name and place.
#include "router/api/json_schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "engine/constraint.h"

namespace cortensor::router {
namespace {

using ::testing::HasSubstr;

bool accepts(const std::string& grammar, std::string_view text) {
  auto compiled = engine::compile_grammar(grammar);
  EXPECT_TRUE(compiled) << compiled.error().message << "\n" << grammar;
  if (!compiled) return false;
  engine::GrammarMatcher matcher(std::make_shared<const engine::Grammar>(std::move(*compiled)));
  auto state = matcher.start();
  for (const char byte : text) state = matcher.next(state, static_cast<std::uint8_t>(byte));
  return matcher.complete(state);
}

struct Case {
  std::string schema;
  std::vector<std::string> good, bad;
};

TEST(JsonSchema, AcceptsItsValuesAndNoOthers) {
  const Case cases[] = {
      {R"({"type":"integer"})",
       {"0", "-12", "1234567890123456"},
       {"01", "1.0", "-", "", "12345678901234567", " 1"}},
      {R"({"type":"number"})", {"0.5", "-1e9", "3", "2.5E-03"}, {".5", "1.", "1e", "NaN"}},
      {R"({"type":["boolean","null"]})", {"true", "false", "null"}, {"True", "0"}},
      {R"({"type":"string"})",
       {R"("")", R"("aé字")", R"("\"\\\/\n\u00e9")"},
       {"\"", "a", R"("\x")", R"("\ud800")", "\"\n\"", "\"\xff\""}},
      {R"({"type":"string","minLength":2,"maxLength":3})",
       {R"("ab")", R"("é\n字")"},
       {R"("a")", R"("abcd")"}},
      {R"({"enum":["red","\"q\"",3,null,{"a":[1]}]})",
       {R"("red")", R"("\"q\"")", "3", "null", R"({"a":[1]})"},
       {R"("blue")", "4"}},
      {R"({"type":"string","enum":["x",1]})", {R"("x")"}, {"1"}},
      {R"({"const":"only"})", {R"("only")"}, {R"("onl")"}},
      {R"({"type":"array","items":{"type":"integer"},"minItems":1,"maxItems":3})",
       {"[1]", "[1, 2,3]", "[\n  1,\n  2\n]"},
       {"[]", "[1,2,3,4]", "[1,]", "[\"a\"]"}},
      {R"({"type":"array","maxItems":0})", {"[]"}, {"[1]"}},
      {R"({"type":"array"})", {"[]", R"([1,"a",{"b":[]}])"}, {"[1"}},
      {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"},"c":{"type":"null"}},"required":["b"]})",
       {R"({"b":"x"})", R"({"a":1,"b":"x"})", R"({"a": 1, "b": "x", "c": null})", R"({"b":"","c":null})"},
       {"{}", R"({"a":1})", R"({"b":"x","a":1})", R"({"b":"x","d":1})", R"({,"b":"x"})", R"({"b":"x",})"}},
      {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}}})",
       {"{}", R"({"a":1})", R"({"b":1})", R"({"a":1,"b":2})"},
       {R"({"a":1,})", R"({"a":1"b":2})"}},
      {R"({"type":"object","properties":{"ab":{"type":"integer"},"é":{"const":1}},"additionalProperties":{"type":"string"}})",
       {"{}", R"({"ab":1})", R"({"a":"x"})", R"({"ab":1,"é":1,"abc":"x","b":"y","":"z"})", R"({"ê":"x"})"},
       {R"({"ab":"x"})", R"({"a":1})", R"({"é":"x"})", R"({"b":"y","ab":1})", R"({"\u0061b":"x"})"}},
      {R"({"type":"object"})", {"{}", R"({"a":{"b":[true]}})"}, {"[]", "{1:2}"}},
      {R"({"type":"object","additionalProperties":false})", {"{}", "{ }"}, {R"({"a":1})"}},
      {R"({"anyOf":[{"type":"integer"},{"type":"string","maxLength":1}]})",
       {"7", R"("a")"},
       {R"("ab")", "null"}},
      {R"({"$ref":"#/$defs/tree","$defs":{"tree":{"type":"object","properties":{"v":{"type":"integer"},"kids":{"type":"array","items":{"$ref":"#/$defs/tree"}}},"required":["v"]}}})",
       {R"({"v":1})", R"({"v":1,"kids":[{"v":2,"kids":[]},{"v":3}]})"},
       {R"({"kids":[]})", R"({"v":1,"kids":[1]})"}},
      {R"({"type":"object","properties":{"next":{"anyOf":[{"$ref":"#"},{"type":"null"}]}},"required":["next"]})",
       {R"({"next":{"next":null}})"},
       {R"({"next":1})"}},
      {"true", {"1", "{}", "[]", "null"}, {""}},
      {R"({"title":"anything","description":"d"})", {"1"}, {"x"}},
  };
  for (const Case& c : cases) {
    const auto grammar = schema_grammar(Json::parse(c.schema));
    ASSERT_TRUE(grammar) << c.schema << ": " << grammar.error().message;
    for (const std::string& text : c.good) EXPECT_TRUE(accepts(*grammar, text)) << c.schema << " | " << text;
    for (const std::string& text : c.bad) EXPECT_FALSE(accepts(*grammar, text)) << c.schema << " | " << text;
  }
  EXPECT_TRUE(accepts(json_grammar(), R"({"a": [1, {"b": "c"}, null]})"));
  EXPECT_FALSE(accepts(json_grammar(), "[]"));
}

TEST(JsonSchema, NamesWhatItDoesNotDo) {
  const std::pair<std::string, std::string> unsupported[] = {
      {R"({"type":"integer","minimum":3})", "schema: the keyword 'minimum'"},
      {R"({"type":"string","pattern":"a+"})", "schema: the keyword 'pattern'"},
      {R"({"type":"object","properties":{"a":{"type":"array","uniqueItems":true}}})",
       "schema.properties.a: the keyword 'uniqueItems'"},
      {R"({"oneOf":[]})", "the keyword 'oneOf'"},
      {R"({"allOf":[{"type":"string"}]})", "the keyword 'allOf'"},
      {R"({"not":{}})", "the keyword 'not'"},
  };
  for (const auto& [schema, message] : unsupported) {
    const auto grammar = schema_grammar(Json::parse(schema));
    ASSERT_FALSE(grammar) << schema;
    EXPECT_EQ(grammar.error().kind, ErrorKind::unsupported);
    EXPECT_THAT(grammar.error().message, HasSubstr(message));
  }
  std::string deep = R"({"type":"integer"})";
  for (int i = 0; i < 70; ++i) deep = R"({"type":"array","items":)" + deep + "}";
  const std::pair<std::string, std::string> invalid[] = {
      {"3", "expected a schema"},
      {R"({"type":"date"})", "schema.type"},
      {R"({"type":[]})", "schema.type"},
      {R"({"enum":[]})", "expected a list of values"},
      {R"({"type":"integer","const":"x"})", "expected a list of values"},
      {R"({"anyOf":{}})", "anyOf"},
      {R"({"$ref":"#/$defs/none"})", "$ref"},
      {R"({"$ref":"http://x"})", "$ref"},
      {R"({"type":"array","minItems":-1})", "minItems"},
      {R"({"type":"array","minItems":2,"maxItems":1})", "maxItems"},
      {R"({"type":"string","maxLength":1e9})", "maxLength"},
      {R"({"type":"object","required":["a"]})", "required"},
      {R"({"type":"object","properties":[]})", "properties"},
      {deep, "at most 64 schemas"},
  };
  for (const auto& [schema, message] : invalid) {
    const auto grammar = schema_grammar(Json::parse(schema));
    ASSERT_FALSE(grammar) << schema;
    EXPECT_EQ(grammar.error().kind, ErrorKind::invalid_input);
    EXPECT_THAT(grammar.error().message, HasSubstr(message)) << schema;
  }
  // A schema that is nothing but itself has no end; the grammar's own check says so.
  const auto circle = schema_grammar(Json::parse(R"({"$ref":"#"})"));
  ASSERT_TRUE(circle);
  EXPECT_FALSE(engine::check_grammar(*circle));
  Json large = {{"enum", Json::array()}};
  for (int i = 0; i < 20'000; ++i) large["enum"].push_back("value " + std::to_string(i));
  EXPECT_THAT(schema_grammar(large).error().message, HasSubstr("too large"));
}

}  // namespace
}  // namespace cortensor::router
