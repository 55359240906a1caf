// Claims: the two completion bodies become the requests they describe; every wrong or unsupported field is
// refused by name, every unknown one ignored; nothing that a client can send goes further than this.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fake_network.h"
#include "router/api/completion_request.h"

namespace cortensor::router {
namespace {

using ::testing::HasSubstr;

std::string chat_with(const std::string& more) {
  std::string body = "{";
  for (const std::string field : {R"("model":"tiny:q8_0")", R"("messages":[{"role":"user","content":"hi"}])"})
    if (!more.starts_with(field.substr(0, field.find(':')))) body += field + ",";
  if (more.empty()) body.pop_back();
  return body + more + "}";
}
std::string completion_with(const std::string& more) {
  return R"({"model":"tiny:q8_0",)" + more + "}";
}

TEST(CompletionRequest, DefaultsAreThoseOfOpenAi) {
  const auto call = parse_chat(chat_with(""));
  ASSERT_TRUE(call) << call.error().error.message;
  EXPECT_EQ(call->sampling.temperature, 1.0f);
  EXPECT_EQ(call->sampling.top_p, 1.0f);
  EXPECT_LT(call->sampling.seed, std::uint64_t{1} << 53);
  EXPECT_EQ(call->n, 1u);
  EXPECT_FALSE(call->stream || call->logprobs || call->include_usage);
  EXPECT_NE(call->sampling.seed, parse_chat(chat_with(""))->sampling.seed);
}

TEST(CompletionRequest, EveryFieldIsRead) {
  const auto call = parse_chat(
      R"({"model":"m","messages":[{"role":"developer","content":"brief"},{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}],
          "temperature":0.5,"top_p":0.9,"top_k":40,"min_p":0.05,"seed":18446744073709551615,"n":3,"stop":["x","y","x"],"logprobs":true,
          "top_logprobs":2,"max_completion_tokens":7,"stream":true,"stream_options":{"include_usage":true},"session":"sess_1","user":"u",
          "tools":[],"frequency_penalty":-0.5,"presence_penalty":2,"repetition_penalty":1.1,"logit_bias":{"7":-100,"5":0.5,"6":null},"response_format":{"type":"text"},"nobody_knows":1,"top_a":null})");
  ASSERT_TRUE(call) << call.error().error.message;
  EXPECT_EQ(call->messages.at(0).role, "system");
  EXPECT_EQ(call->messages.at(1).content, "ab");
  EXPECT_EQ(
      call->sampling,
      (Sampling{0.5f, 0.9f, 0.05f, 40, 18446744073709551615u, 1.1f, 2.0f, -0.5f, {{5, 0.5f}, {7, -100.0f}}}));
  EXPECT_EQ(call->n, 3u);
  EXPECT_EQ(call->stop, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(call->max_tokens, 7u);
  EXPECT_TRUE(call->stream && call->logprobs && call->include_usage);
  EXPECT_EQ(call->session, "sess_1");
  EXPECT_EQ(parse_chat(chat_with(R"("seed":-1)"))->sampling.seed, ~std::uint64_t{0});
}

TEST(CompletionRequest, WhatIsWrongIsNamed) {
  const std::pair<std::string, std::string> cases[] = {
      {R"("temperature":2.1)", "temperature"},
      {R"("temperature":"hot")", "temperature"},
      {R"("temperature":true)", "temperature"},
      {R"("top_p":0)", "top_p"},
      {R"("min_p":1)", "min_p"},
      {R"("top_k":-1)", "top_k"},
      {R"("top_k":1.5)", "top_k"},
      {R"("n":0)", "n"},
      {R"("n":9)", "n"},
      {R"("n":1e300)", "n"},
      {R"("n":99999999999999999999)", "n"},
      {R"("max_tokens":0)", "max_tokens"},
      {R"("max_tokens":-5)", "max_tokens"},
      {R"("max_completion_tokens":1e18)", "max_completion_tokens"},
      {R"("seed":1e30)", "seed"},
      {R"("seed":"7")", "seed"},
      {R"("seed":0.5)", "seed"},
      {R"("seed":18446744073709551616)", "seed"},
      {R"("seed":-9223372036854775809)", "seed"},
      {R"("seed":-9223372036854779904)", "seed"},
      {R"("top_p":1e-60)", "top_p"},
      {R"("min_p":0.999999999999)", "min_p"},
      {R"("top_k":1048577)", "top_k"},
      {R"("echo":true)", "echo"},
      {R"("suffix":"b")", "suffix"},
      {R"("best_of":3)", "best_of"},
      {R"("temperature":0,"temperature":2)", "temperature"},
      {R"("metadata":{"twice":1,"twice":1})", "twice"},
      {R"("stop":[1])", "stop"},
      {R"("stop":"")", "stop"},
      {R"("stop":["a","b","c","d","e"])", "stop"},
      {R"("stream":"yes")", "stream"},
      {R"("stream_options":{"include_usage":true})", "stream_options"},
      {R"("stream":true,"stream_options":7)", "stream_options"},
      {R"("logprobs":3)", "logprobs"},
      {R"("top_logprobs":1)", "top_logprobs"},
      {R"("tools":[{"type":"function"}])", "tools"},
      {R"("logit_bias":[5])", "logit_bias"},
      {R"("logit_bias":{"05":1})", "logit_bias"},
      {R"("logit_bias":{"-5":1})", "logit_bias"},
      {R"("logit_bias":{"4294967296":1})", "logit_bias"},
      {R"("logit_bias":{"5":100.5})", "logit_bias.5"},
      {R"("logit_bias":{"5":"1"})", "logit_bias.5"},
      {R"("presence_penalty":2.5)", "presence_penalty"},
      {R"("frequency_penalty":-2.1)", "frequency_penalty"},
      {R"("repetition_penalty":0)", "repetition_penalty"},
      {R"("repetition_penalty":11)", "repetition_penalty"},
      {R"("response_format":"json")", "response_format"},
      {R"("response_format":{"type":"xml"})", "response_format"},
      {R"("response_format":{"type":"json_schema"})", "response_format"},
      {R"("response_format":{"type":"json_schema","json_schema":{"schema":{"type":"string","format":"date"}}})",
       "response_format"},
      {R"("response_format":{"type":"json_schema","json_schema":{"schema":{"$ref":"#"}}})",
       "response_format"},
      {R"("response_format":{"type":"json_object"},"grammar":"root ::= \"x\"")", "response_format"},
      {R"("grammar":"")", "grammar"},
      {R"("grammar":"root ::= other")", "grammar"},
      {R"("grammar":7)", "grammar"},
      {R"("logprobs":true,"top_logprobs":21)", "top_logprobs"},
      {R"("modalities":["text","audio"])", "modalities"},
      {R"("messages":[])", "messages"},
      {R"("messages":[{"role":"tool","content":"x"}])", "messages[0].role"},
      {R"("messages":[{"role":"user"}])", "messages[0].content"},
      {R"("messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}])",
       "messages[0].content"},
      {R"("messages":["hi"])", "messages[0]"},
      {R"("model":5)", "model"},
      {R"("model":"")", "model"},
      {R"("session":5)", "session"},
  };
  for (const auto& [more, param] : cases) {
    const auto call = parse_chat(chat_with(more));
    ASSERT_FALSE(call) << more;
    EXPECT_EQ(call.error().param, param) << more;
    EXPECT_THAT(call.error().error.message, HasSubstr(param)) << more;
  }
  for (const char* body : {"", "{", "[]", "7", "\"x\"", "null", "{\"model\":\"\xff\"}", "{\"a\":1}garbage"}) {
    const auto call = parse_chat(body);
    ASSERT_FALSE(call) << body;
    EXPECT_EQ(call.error().error.kind, ErrorKind::invalid_input);
  }
  EXPECT_FALSE(parse_chat(std::string(100'000, '[')));
}

TEST(CompletionRequest, RangesAreSaidAsTheyAre) {
  const auto message = [](const char* more) { return parse_chat(chat_with(more)).error().error.message; };
  EXPECT_EQ(message(R"("seed":1e20)"),
            "seed: expected an integer from -9223372036854775808 to 18446744073709551615");
  for (const char* wrong : {R"("top_p":0)", R"("top_p":1.5)", R"("top_p":"x")"})
    EXPECT_EQ(message(wrong), "top_p: expected a number above 0, at most 1");
  for (const char* wrong : {R"("min_p":1)", R"("min_p":-0.5)"})
    EXPECT_EQ(message(wrong), "min_p: expected a number from 0, below 1");
  const auto seed = [](const char* more) { return parse_chat(chat_with(more))->sampling.seed; };
  EXPECT_EQ(seed(R"("seed":-9223372036854775808)"), std::uint64_t{1} << 63);
  EXPECT_EQ(seed(R"("seed":1e19)"), 10'000'000'000'000'000'000u);
  EXPECT_EQ(seed(R"("seed":-2.0)"), ~std::uint64_t{1});
}

TEST(CompletionRequest, PromptsComeInFourShapes) {
  const auto prompts = [](const std::string& prompt) {
    const auto call = parse_completion(completion_with("\"prompt\":" + prompt));
    return call ? static_cast<int>(call->prompts.size()) : -1;
  };
  EXPECT_EQ(prompts(R"("a")"), 1);
  EXPECT_EQ(prompts(R"(["a","b"])"), 2);
  EXPECT_EQ(prompts("[1,2,3]"), 1);
  EXPECT_EQ(prompts("[[1,2],[3]]"), 2);
  for (const char* wrong :
       {"[]", "7", "{}", "[[]]", "[1,\"a\"]", "[-1]", "[4294967296]", "[1.5]", "[[1],[[2]]]", "[true]"})
    EXPECT_EQ(prompts(wrong), -1) << wrong;
  EXPECT_EQ(parse_completion(completion_with(R"("prompt":"a","echo":true)")).error().param, "echo");
  EXPECT_EQ(parse_completion(completion_with(R"("prompt":"a","suffix":"b")")).error().param, "suffix");
  EXPECT_EQ(parse_completion(completion_with(R"("prompt":"a","best_of":3)")).error().param, "best_of");
  EXPECT_TRUE(parse_completion(completion_with(R"("prompt":"a","logprobs":0)"))->logprobs);
}

TEST(CompletionRequest, AConstraintBecomesTheRequestsGrammar) {
  const auto model = make_model();
  const auto grammar = [&](const std::string& more) {
    const auto call = parse_chat(chat_with(more));
    EXPECT_TRUE(call) << call.error().error.message;
    return call ? call->grammar : "";
  };
  EXPECT_EQ(grammar(R"("response_format":{"type":"text"})"), "");
  EXPECT_EQ(grammar(R"("grammar":"root ::= \"x\"")"), "root ::= \"x\"");
  EXPECT_THAT(grammar(R"("response_format":{"type":"json_object"})"), HasSubstr("root ::= object"));
  EXPECT_THAT(grammar(R"("response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,
                         "schema":{"type":"boolean"}}})"),
              HasSubstr("root ::= boolean"));
  const auto call =
      parse_completion(completion_with(R"("prompt":"a","grammar":"root ::= [ab]","logprobs":4)"));
  ASSERT_TRUE(call) << call.error().error.message;
  EXPECT_EQ(call->top_logprobs, 4u);
  EXPECT_EQ(make_requests(*call, *model)->at(0).grammar, "root ::= [ab]");
}

TEST(CompletionRequest, ChoicesAreRequestsWithSeedsInOrder) {
  const auto model = make_model();
  const auto call =
      parse_completion(completion_with(R"("prompt":["ab","c"],"n":2,"seed":10,"max_tokens":5)"));
  const auto requests = make_requests(*call, *model);
  ASSERT_TRUE(requests);
  ASSERT_EQ(requests->size(), 4u);
  const TokenId bos = *model->tokenizer.bos();
  EXPECT_EQ(requests->at(1).prompt, (std::vector<TokenId>{bos, 'a', 'b'}));
  EXPECT_EQ(requests->at(2).prompt, (std::vector<TokenId>{bos, 'c'}));
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(requests->at(i).sampling.seed, 10 + i);
  EXPECT_EQ(requests->at(0).max_tokens, 5u);
  EXPECT_FALSE(requests->at(0).stop_tokens.empty());
}

TEST(CompletionRequest, WhatDoesNotFitTheContextIsRefused) {
  const auto model = make_model();  // 256 positions
  const auto requests = [&](const std::string& more) {
    return make_requests(*parse_completion(completion_with(more)), *model);
  };
  EXPECT_EQ(requests(R"("prompt":"abc")")->at(0).max_tokens, 252u);
  EXPECT_EQ(requests(R"("prompt":"abc","max_tokens":252)")->at(0).max_tokens, 252u);
  EXPECT_EQ(requests(R"("prompt":"abc","max_tokens":253)").error().param, "max_tokens");
  EXPECT_EQ(requests("\"prompt\":\"" + std::string(255, 'a') + "\"").error().param, "prompt");
  EXPECT_EQ(requests(R"("prompt":[1000000])").error().param, "prompt");
  EXPECT_EQ(requests(R"("prompt":"a","logit_bias":{"1000000":1})").error().param, "logit_bias");
}

}  // namespace
}  // namespace cortensor::router
