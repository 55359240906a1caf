// Claims: over a real socket the API speaks OpenAI's JSON, streamed and whole; keys, sessions, receipts and
// errors are as docs/spec/http-api.md says. The network behind it is made of fakes that answer at once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/log.h"
#include "fake_network.h"
#include "http/client.h"
#include "http/sse.h"
#include "memory_ledger.h"
#include "router/api/api.h"

namespace cortensor::router {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class ApiTest : public ::testing::Test {
 protected:
  ApiTest() {
    log::set_level(log::Level::off);
    EXPECT_TRUE(catalogue_.add(make_model()));
    const WallTime now = executor_.wall_now();
    account_ = *ledger_->create_account("alice", now);
    EXPECT_TRUE(ledger_->deposit(account_, Credits{10'000'000}, "first", now));
    EXPECT_TRUE(ledger_->set_price("tiny:q8_0", ledger::Price{}));
    key_ = ledger_->create_api_key(account_, "test", now)->secret;
    CoreOptions options;
    options.arithmetic_version = kArithmetic;
    core_ =
        std::make_unique<RouterCore>(options, catalogue_, router_key_, executor_, *ledger_, settler_, links_);
    links_.bind(*core_);
    api_ = std::make_unique<Api>(*core_);
    const ServedModel& model = *catalogue_.models().front();
    miner_ = std::make_unique<FakeNode>(links_, *core_, model, protocol::Role::miner, std::uint8_t{10});
    validator_ =
        std::make_unique<FakeNode>(links_, *core_, model, protocol::Role::validator, std::uint8_t{11});
    links_.on_sent = [this](protocol::LinkId, const protocol::RouterMessage& message) {
      if (const auto* assign = std::get_if<protocol::Assign>(&message); assign != nullptr)
        miner_->run(*assign);
      if (std::holds_alternative<protocol::Check>(message)) validator_->judge();
    };
    auto server =
        http::Server::listen(executor_, {}, [this](http::Request request, http::Responder responder) {
          api_->handle(std::move(request), std::move(responder));
        });
    EXPECT_TRUE(server);
    server_ = std::move(*server);
    base_ = "http://127.0.0.1:" + std::to_string(server_->port());
    core_->start();
    thread_ = std::thread([this] { executor_.run(); });
  }
  ~ApiTest() override {
    executor_.stop();
    thread_.join();
    server_.reset();
    EXPECT_TRUE(ledger_->audit()->clean());
  }

  // Runs on the executor's thread and waits.
  void there(std::function<void()> work) {
    std::promise<void> done;
    executor_.post([&] {
      work();
      done.set_value();
    });
    done.get_future().wait();
  }
  void react(std::function<void(protocol::LinkId, const protocol::RouterMessage&)> reaction) {
    there([&] { links_.on_sent = std::move(reaction); });
  }
  void attach_all() {
    there([this] {
      for (FakeNode* node : {miner_.get(), validator_.get()}) {
        const WallTime now = executor_.wall_now();
        node->attach(*ledger_->create_join_token(node->role, now + std::chrono::hours(1), 1, now));
      }
    });
  }

  http::ClientRequest request(std::string method, const std::string& path, std::string body = {}) const {
    http::ClientRequest request{
        std::move(method), base_ + path, {{"Authorization", "Bearer " + key_}}, std::move(body)};
    return request;
  }
  struct Answer {
    int status = 0;
    json body;
    http::Headers headers;
  };
  Answer call(http::ClientRequest request) {
    http::Client client;
    auto response = client.request(request);
    EXPECT_TRUE(response) << response.error().message;
    if (!response) return {};
    return {response->status, json::parse(response->body, nullptr, false), response->headers};
  }
  Answer post(const std::string& path, const json& body) { return call(request("POST", path, body.dump())); }
  Answer get(const std::string& path) { return call(request("GET", path)); }

  std::vector<std::string> events(const std::string& path, const json& body) {
    http::Client client;
    http::SseParser parser;
    std::vector<std::string> events;
    const auto response =
        client.request_stream(request("POST", path, body.dump()), [&](std::string_view bytes) {
          return parser.feed(bytes, [&](const http::SseEvent& event) { events.push_back(event.data); })
              .has_value();
        });
    EXPECT_TRUE(response) << response.error().message;
    return events;
  }

  static json chat() {
    return {{"model", "tiny:q8_0"}, {"messages", {{{"role", "user"}, {"content", "hi"}}}}, {"seed", 1}};
  }
  std::string text() const {
    const ServedModel& model = *catalogue_.models().front();
    GenerationRequest request;
    request.prompt = *model.chat->render(std::vector<engine::ChatMessage>{{"user", "hi"}});
    request.sampling.seed = 1;
    request.max_tokens = 100;
    return text_of(true_answer(request, model, 12), model);
  }

  http::AsioExecutor executor_;
  FakeLinks links_{executor_};
  std::unique_ptr<ledger::Ledger> ledger_ = ledger::make_memory_ledger();
  ledger::DirectSettler settler_{*ledger_};
  Catalogue catalogue_;
  crypto::PrivateKey router_key_ = crypto::PrivateKey::generate();
  AccountId account_;
  std::string key_, base_;
  std::unique_ptr<RouterCore> core_;
  std::unique_ptr<Api> api_;
  std::unique_ptr<FakeNode> miner_, validator_;
  std::unique_ptr<http::Server> server_;
  std::thread thread_;
};

TEST_F(ApiTest, AChatAnswerIsWhole) {
  attach_all();
  miner_->cached = 3;
  const Answer answer = post("/v1/chat/completions", chat());
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.body["object"], "chat.completion");
  EXPECT_THAT(answer.body["id"].get<std::string>(), HasSubstr("chatcmpl-task_"));
  EXPECT_EQ(answer.body["model"], "tiny:q8_0");
  EXPECT_EQ(answer.body["system_fingerprint"], "a7-010101010101");
  const json& choice = answer.body["choices"].at(0);
  EXPECT_EQ(choice["message"]["role"], "assistant");
  EXPECT_EQ(choice["message"]["content"], text());
  EXPECT_EQ(choice["finish_reason"], "stop");
  EXPECT_TRUE(choice["logprobs"].is_null());
  EXPECT_EQ(answer.body["usage"]["completion_tokens"], 13);
  EXPECT_EQ(answer.body["usage"]["prompt_tokens_details"]["cached_tokens"], 3);
  const json& proof = answer.body["cortensor"];
  EXPECT_EQ(proof["verdict"], "UNCHECKED");
  EXPECT_EQ(proof["seed"], 1);
  EXPECT_EQ(proof["miners"], json::array({miner_->id.value}));
  const Answer receipt = get("/v1/receipts/" + proof["receipts"][0].get<std::string>());
  EXPECT_EQ(receipt.status, 200);
  EXPECT_TRUE(protocol::receipt_from_json(receipt.body.dump()));
}

TEST_F(ApiTest, ATaskTellsWhyItsMinerWasChosen) {
  attach_all();
  const Answer answer = post("/v1/chat/completions", chat());
  ASSERT_EQ(answer.status, 200) << answer.body;
  const std::string path = "/v1/tasks/" + answer.body["cortensor"]["task"].get<std::string>() + "/why";
  const Answer why = get(path);
  ASSERT_EQ(why.status, 200) << why.body;
  ASSERT_EQ(why.body["decisions"].size(), 1u);
  const json& decision = why.body["decisions"][0];
  EXPECT_EQ(decision["chosen"], miner_->id.value);
  EXPECT_EQ(decision["rule"], "least expected time");
  EXPECT_EQ(decision["able"], 1);
  EXPECT_EQ(decision["candidates"][0]["miner"], miner_->id.value);
  EXPECT_GT(decision["candidates"][0]["last_token_ms"], decision["candidates"][0]["first_token_ms"]);
  EXPECT_EQ(decision["excluded"], json::array());
  EXPECT_EQ(get("/v1/tasks/task_unknown/why").status, 404);
  const WallTime now = executor_.wall_now();
  std::string other;
  there([&] { other = ledger_->open_account("bob", Credits{0}, "key", now)->secret; });
  std::swap(key_, other);
  EXPECT_EQ(get(path).status, 404);  // another account's
}

TEST_F(ApiTest, ASessionsServiceLevelIsKeptToAndShown) {
  attach_all();
  const auto ask = [this](const json& service) {
    json body = {{"model", "tiny:q8_0"}, {"budget_microcredits", 10'000}};
    body.update(service);
    const Answer session = post("/v1/sessions", body);
    EXPECT_EQ(session.status, 201) << session.body;
    for (const auto& [name, value] : service.items()) EXPECT_EQ(session.body[name], value);
    json request = chat();
    request["session"] = session.body["id"];
    return post("/v1/chat/completions", request);
  };
  // The miner says that it makes 100 tokens a second, of a prompt 1,000.
  EXPECT_EQ(
      ask({{"min_tokens_per_second", 100}, {"max_first_token_ms", 100}, {"min_reliability", 0.5}}).status,
      200);
  EXPECT_EQ(ask({{"miners", {miner_->id.value}}}).status, 200);
  const json too_much[] = {{{"min_tokens_per_second", 999'999}},
                           {{"max_first_token_ms", 1}},
                           {{"miners", {std::string(64, 'a')}}}};
  for (const json& service : too_much) {
    const Answer refused = ask(service);
    EXPECT_EQ(refused.status, 503) << service;
    EXPECT_THAT(refused.body["error"]["message"].get<std::string>(), HasSubstr("session asks for"));
  }
}

TEST_F(ApiTest, AStreamedAnswerEndsWithUsageProofAndDone) {
  attach_all();
  const Answer session = post(
      "/v1/sessions", {{"model", "tiny:q8_0"}, {"budget_microcredits", 100'000}, {"validation", "full"}});
  ASSERT_EQ(session.status, 201) << session.body;
  json body = chat();
  body.update(
      {{"stream", true}, {"stream_options", {{"include_usage", true}}}, {"session", session.body["id"]}});
  const auto got = events("/v1/chat/completions", body);
  ASSERT_GE(got.size(), 5u);
  EXPECT_EQ(got.back(), "[DONE]");
  std::string streamed;
  for (std::size_t i = 0; i + 2 < got.size(); ++i) {
    const json chunk = json::parse(got[i]);
    EXPECT_EQ(chunk["object"], "chat.completion.chunk");
    EXPECT_TRUE(chunk["usage"].is_null());
    const json& choice = chunk["choices"].at(0);
    streamed += choice["delta"].value("content", "");
    if (i == 0) {
      EXPECT_EQ(choice["delta"]["role"], "assistant");
    }
    EXPECT_EQ(choice["finish_reason"], i + 3 == got.size() ? json("stop") : json(nullptr));
  }
  EXPECT_EQ(streamed, text());
  const json last = json::parse(got[got.size() - 2]);
  EXPECT_TRUE(last["choices"].empty());
  EXPECT_EQ(last["usage"]["completion_tokens"], 13);
  EXPECT_EQ(last["cortensor"]["verdict"], "VALID");
  EXPECT_EQ(last["cortensor"]["session"], session.body["id"]);
}

TEST_F(ApiTest, CompletionsTakeBatchesChoicesAndLogprobs) {
  attach_all();
  const json body = {
      {"model", "tiny:q8_0"}, {"prompt", {"a", "b"}}, {"n", 2}, {"max_tokens", 4}, {"logprobs", 1}};
  const Answer answer = post("/v1/completions", body);
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.body["object"], "text_completion");
  ASSERT_EQ(answer.body["choices"].size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(answer.body["choices"][i]["index"], i);
    EXPECT_EQ(answer.body["choices"][i]["finish_reason"], "length");
    EXPECT_EQ(answer.body["choices"][i]["logprobs"]["tokens"].size(), 4u);
  }
  EXPECT_EQ(answer.body["cortensor"]["receipts"].size(), 4u);
}

TEST_F(ApiTest, EmbeddingsAreListsOfNumbersOrBytes) {
  attach_all();
  json body = {{"model", "tiny:q8_0"}, {"input", {"a", "bc"}}, {"user", "alice"}};
  const Answer answer = post("/v1/embeddings", body);
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.body["object"], "list");
  EXPECT_EQ(answer.body["model"], "tiny:q8_0");
  EXPECT_EQ(answer.body["usage"], json({{"prompt_tokens", 5}, {"total_tokens", 5}}));
  EXPECT_EQ(answer.body["cortensor"]["verdict"], "UNCHECKED");
  EXPECT_EQ(answer.body["cortensor"]["receipts"].size(), 2u);
  ASSERT_EQ(answer.body["data"].size(), 2u);
  const ServedModel& model = *catalogue_.models().front();
  for (std::size_t i = 0; i < 2; ++i) {
    const json& one = answer.body["data"][i];
    EXPECT_EQ(one["object"], "embedding");
    EXPECT_EQ(one["index"], i);
    const auto request = embedding_request(model.tokenizer.encode_prompt(i == 0 ? "a" : "bc"), model.dim);
    EXPECT_EQ(one["embedding"].get<std::vector<float>>(), true_embedding(request));  // the same bits
  }

  body["input"] = {1, 2, 3};
  body["dimensions"] = 4;
  const std::vector<float> expected = true_embedding(embedding_request({1, 2, 3}, 4));
  EXPECT_EQ(post("/v1/embeddings", body).body["data"][0]["embedding"].get<std::vector<float>>(), expected);
  body["encoding_format"] = "base64";
  EXPECT_EQ(post("/v1/embeddings", body).body["data"][0]["embedding"], "MjMzPc3MDD6amfk9mpnZPQ==");
}

TEST_F(ApiTest, EmbeddingErrorsNameTheirField) {
  attach_all();
  const auto param = [&](const json& change) {
    json body = {{"model", "tiny:q8_0"}, {"input", "a"}};
    body.update(change);
    const Answer answer = post("/v1/embeddings", body);
    EXPECT_EQ(answer.status / 100, 4) << answer.body;
    return answer.body["error"]["param"];
  };
  EXPECT_EQ(param({{"model", "nope"}}), "model");
  EXPECT_EQ(param({{"session", "sess_nope"}}), "session");
  EXPECT_EQ(param({{"input", json::array()}}), "input");
  EXPECT_EQ(param({{"input", 5}}), "input");
  EXPECT_EQ(param({{"input", {1, 99999}}}), "input");
  EXPECT_EQ(param({{"input", std::vector<std::string>(257, "a")}}), "input");
  EXPECT_EQ(param({{"input", std::string(kContext, 'a')}}), "input");
  EXPECT_EQ(param({{"dimensions", 0}}), "dimensions");
  EXPECT_EQ(param({{"dimensions", 9}}), "dimensions");
  EXPECT_EQ(param({{"encoding_format", "int8"}}), "encoding_format");
}

TEST_F(ApiTest, AStopStringIsNotDelivered) {
  attach_all();
  const std::string stop = text().substr(3, 2);
  json body = chat();
  body["stop"] = stop;
  body["stream"] = true;
  // The fake ends where the rule ends, as a real miner would.
  react([&](protocol::LinkId, const protocol::RouterMessage& message) {
    if (const auto* assign = std::get_if<protocol::Assign>(&message)) {
      miner_->length = 5;
      miner_->cuts_at = 5;
      miner_->run(*assign);
    }
  });
  std::string streamed;
  for (const std::string& event : events("/v1/chat/completions", body))
    if (const json chunk = json::parse(event, nullptr, false); chunk.is_object() && !chunk["choices"].empty())
      streamed += chunk["choices"][0]["delta"].value("content", "");
  EXPECT_EQ(streamed, text().substr(0, 3));
}

TEST_F(ApiTest, ErrorsHaveOpenAisShape) {
  const auto check = [](const Answer& answer, int status, const std::string& code, const json& param) {
    EXPECT_EQ(answer.status, status) << answer.body;
    EXPECT_FALSE(answer.body["error"]["message"].get<std::string>().empty());
    if (!code.empty()) {
      EXPECT_EQ(answer.body["error"]["code"], code);
    }
    EXPECT_EQ(answer.body["error"]["param"], param);
  };
  check(post("/v1/chat/completions", chat()), 503, "unavailable", nullptr);  // nobody attached
  attach_all();
  json body = chat();
  body["temperature"] = 9;
  check(post("/v1/chat/completions", body), 400, "", "temperature");
  body = chat();
  body["model"] = "nope";
  check(post("/v1/chat/completions", body), 404, "not_found", "model");
  body = chat();
  body["session"] = "sess_nope";
  check(post("/v1/chat/completions", body), 404, "not_found", "session");
  check(call(request("POST", "/v1/chat/completions", "{\"model\":")), 400, "", nullptr);
  http::ClientRequest wrong = request("POST", "/v1/chat/completions", chat().dump());
  wrong.headers = {{"Authorization", "Bearer ctk_wrong"}};
  check(call(wrong), 401, "invalid_api_key", nullptr);
  wrong.headers.clear();
  check(call(wrong), 401, "invalid_api_key", nullptr);
  wrong = request("GET", "/v1/models");
  wrong.headers = {{"Authorization", "Bearer ctk_wrong"}};
  check(call(wrong), 401, "invalid_api_key", nullptr);
  check(get("/v1/nothing"), 404, "not_found", nullptr);

  const Answer poor = post("/v1/sessions", {{"model", "tiny:q8_0"}, {"budget_microcredits", 20}});
  ASSERT_EQ(poor.status, 201);
  body = chat();
  body["session"] = poor.body["id"];
  check(post("/v1/chat/completions", body), 402, "insufficient_quota", nullptr);
  check(post("/v1/sessions", {{"model", "tiny:q8_0"}, {"budget_microcredits", 99'000'000}}), 402,
        "insufficient_quota", nullptr);
}

TEST_F(ApiTest, SessionsAreOpenedShownAndClosed) {
  const auto param = [this](const json& more) {
    json body = {{"model", "tiny:q8_0"}, {"budget_microcredits", 1000}};
    body.update(more);
    const Answer answer = post("/v1/sessions", body);
    EXPECT_EQ(answer.status, 400) << answer.body;
    const std::string name = answer.body["error"]["param"], message = answer.body["error"]["message"];
    EXPECT_TRUE(message.starts_with(name + ": ")) << message;
    EXPECT_EQ(message.find(": "), message.rfind(": ")) << message;
    return name;
  };
  EXPECT_EQ(param({{"budget_microcredits", 0}}), "budget_microcredits");
  EXPECT_EQ(param({{"budget_microcredits", nullptr}}), "budget_microcredits");
  EXPECT_EQ(param({{"validation", "perhaps"}}), "validation.level");
  EXPECT_EQ(param({{"validation", {{"level", "spot"}, {"probability", 2}}}}), "validation.probability");
  EXPECT_EQ(param({{"validation", {{"level", "quorum"}, {"k", 2}, {"n", 4}}}}), "validation.k");
  EXPECT_EQ(param({{"validation", {{"level", "spot"}, {"probability", 0}}}}), "validation.probability");
  EXPECT_EQ(param({{"validation", {{"level", 5}}}}), "validation.level");
  EXPECT_EQ(param({{"validation", 5}}), "validation");
  EXPECT_EQ(param({{"validation", "quorum"}, {"redundancy", 2}}), "redundancy");
  const std::pair<const char*, const char*> meaningless[] = {
      {"none", "probability"}, {"none", "k"}, {"none", "n"}, {"full", "probability"},  {"full", "k"},
      {"full", "n"},           {"spot", "k"}, {"spot", "n"}, {"quorum", "probability"}};
  for (const auto& [level, field] : meaningless)
    EXPECT_EQ(param({{"validation", {{"level", level}, {field, 1}}}}), std::string("validation.") + field)
        << level;
  for (const char* label : {"a\nb", "\x7f", "\u0080", "\u0085", "a\u009f"})
    EXPECT_EQ(param({{"label", label}}), "label");
  EXPECT_EQ(param({{"redundancy", 17}}), "redundancy");
  EXPECT_EQ(param({{"min_tokens_per_second", -1}}), "min_tokens_per_second");
  EXPECT_EQ(param({{"max_first_token_ms", 1e12}}), "max_first_token_ms");
  EXPECT_EQ(param({{"min_reliability", 1.5}}), "min_reliability");
  EXPECT_EQ(param({{"miners", json::array()}}), "miners");
  EXPECT_EQ(param({{"miners", {"ab"}}}), "miners");
  EXPECT_EQ(param({{"expires_in_seconds", 0}}), "expires_in_seconds");
  EXPECT_EQ(post("/v1/sessions", {{"model", "nope"}, {"budget_microcredits", 1000}}).status, 404);
  EXPECT_EQ(post("/v1/sessions", {{"model", "tiny:q8_0"},
                                  {"budget_microcredits", 1000},
                                  {"max_completion_price_microcredits_per_million", 1}})
                .status,
            409);
  EXPECT_EQ(get("/v1/account").body["balance_microcredits"], 10'000'000);

  const Answer made = post("/v1/sessions", {{"model", "tiny:q8_0"},
                                            {"budget_microcredits", 5000},
                                            {"validation", {{"level", "quorum"}, {"k", 2}, {"n", 3}}}});
  ASSERT_EQ(made.status, 201);
  const std::string path = "/v1/sessions/" + made.body["id"].get<std::string>();
  EXPECT_EQ(get(path).body, made.body);
  EXPECT_EQ(made.body["state"], "open");
  EXPECT_EQ(made.body["hold_microcredits"], 5000);
  EXPECT_EQ(made.body["validation"], (json{{"level", "quorum"}, {"k", 2}, {"n", 3}}));
  EXPECT_EQ(get("/v1/account").body["balance_microcredits"], 9'995'000);
  const std::string id = made.body["id"];
  EXPECT_EQ(get("/v1/sessions").body, (json{{"object", "list"},
                                            {"data", {made.body}},
                                            {"first_id", id},
                                            {"last_id", id},
                                            {"has_more", false}}));
  const Answer closed = post(path + "/close", json::object());
  EXPECT_EQ(closed.body["state"], "closed");
  EXPECT_EQ(closed.body["released_microcredits"], 5000);
  EXPECT_EQ(get("/v1/account").body["balance_microcredits"], 10'000'000);

  http::ClientRequest other = request("GET", path);
  there([&] {
    const auto stranger = ledger_->create_account("mallory", executor_.wall_now());
    other.headers = {
        {"Authorization", "Bearer " + ledger_->create_api_key(*stranger, "", executor_.wall_now())->secret}};
  });
  EXPECT_EQ(call(other).status, 404);
}

TEST_F(ApiTest, BodyAndHeaderNameOneSession) {
  attach_all();
  const Answer session = post("/v1/sessions", {{"model", "tiny:q8_0"}, {"budget_microcredits", 100'000}});
  const std::string id = session.body["id"];
  const auto ask = [&](const char* in_header, const std::string& in_body) {
    json body = chat();
    if (!in_body.empty()) body["session"] = in_body;
    auto wanted = request("POST", "/v1/chat/completions", body.dump());
    wanted.headers.push_back({"Cortensor-Session", in_header});
    return call(wanted);
  };
  EXPECT_EQ(ask(id.c_str(), "").body["cortensor"]["session"], id);
  EXPECT_EQ(ask(id.c_str(), id).body["cortensor"]["session"], id);
  const Answer two = ask("sess_other", id);
  EXPECT_EQ(two.status, 400);
  EXPECT_EQ(two.body["error"]["param"], "session");
}

TEST_F(ApiTest, ALabelMayBeInAnyLanguage) {
  const Answer made = post(
      "/v1/sessions", {{"model", "tiny:q8_0"}, {"budget_microcredits", 1}, {"label", "\u00a0\u00e9\u0400"}});
  EXPECT_EQ(made.status, 201);
  EXPECT_EQ(made.body["label"], "\u00a0\u00e9\u0400");
}

TEST_F(ApiTest, ListsSessionsPageByPage) {
  std::vector<std::string> opened;
  for (int i = 0; i < 23; ++i)
    opened.push_back(post("/v1/sessions", {{"model", "tiny:q8_0"}, {"budget_microcredits", 10}}).body["id"]);
  const json first = get("/v1/sessions").body;
  EXPECT_EQ(first["data"].size(), 20u);
  EXPECT_EQ(first["first_id"], opened[22]);
  EXPECT_EQ(first["last_id"], opened[3]);
  EXPECT_EQ(first["has_more"], true);
  const json second = get("/v1/sessions?after=" + opened[3] + "&limit=2").body;
  EXPECT_EQ(second["data"][0]["id"], opened[2]);
  EXPECT_EQ(second["last_id"], opened[1]);
  EXPECT_EQ(second["has_more"], true);
  const json last = get("/v1/sessions?limit=2&after=" + opened[1]).body;
  EXPECT_EQ(last["data"].size(), 1u);
  EXPECT_EQ(last["has_more"], false);
  const json none = get("/v1/sessions?after=" + opened[0]).body;
  EXPECT_EQ(none["data"], json::array());
  EXPECT_EQ(none["last_id"], nullptr);
  for (const char* limit : {"0", "101", "-1", "ten", "5x", ""})
    EXPECT_EQ(get(std::string("/v1/sessions?limit=") + limit).body["error"]["param"], "limit") << limit;
  EXPECT_EQ(get("/v1/sessions?limit=0").status, 400);
  for (const char* name : {"limit", "after"}) {
    const Answer broken = get(std::string("/v1/sessions?") + name + "=%zz");
    EXPECT_EQ(broken.status, 400);
    EXPECT_EQ(broken.body["error"]["param"], name);
  }
  const Answer unknown = get("/v1/sessions?after=sess_none");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(unknown.body["error"]["param"], "after");
}

TEST_F(ApiTest, AClientThatHangsUpStopsItsMiner) {
  attach_all();
  std::promise<void> assigned, cancelled;
  react([&](protocol::LinkId, const protocol::RouterMessage& message) {
    if (const auto* assign = std::get_if<protocol::Assign>(&message)) {
      miner_->send_steps(*assign, 0, 3);
      assigned.set_value();
    }
    if (std::holds_alternative<protocol::Cancel>(message)) cancelled.set_value();
  });
  json body = chat();
  body["stream"] = true;
  http::Client client;
  const auto response = client.request_stream(request("POST", "/v1/chat/completions", body.dump()),
                                              [](std::string_view) { return false; });
  EXPECT_FALSE(response);
  assigned.get_future().wait();
  cancelled.get_future().wait();
}

// The miner holds its only slot until the test lets it go.
class BusyApiTest : public ApiTest {
 protected:
  BusyApiTest() {
    react([this](protocol::LinkId, const protocol::RouterMessage& message) {
      if (const auto* assign = std::get_if<protocol::Assign>(&message)) {
        assigned_.push_back(*assign);
      }
      if (const auto* cancel = std::get_if<protocol::Cancel>(&message)) {
        miner_->say(protocol::AttemptFailed{cancel->attempt, ErrorKind::cancelled, "cancelled"});
        ++cancelled_;
      }
    });
    there([this] {
      const WallTime now = executor_.wall_now();
      miner_->attach(*ledger_->create_join_token(miner_->role, now + std::chrono::hours(1), 1, now), 1);
    });
  }
  // Asks on the executor's thread until it is so.
  void wait_until(std::function<bool()> so) {
    bool yes = false;
    while (!yes) there([&] { yes = so(); });
  }
  void answer(std::size_t index) {
    wait_until([&] { return assigned_.size() > index; });
    there([&] { miner_->run(assigned_[index]); });
  }
  std::size_t waiting() { return core_->task_table().waiting().size(); }
  std::future<Answer> later(json body, http::Headers more = {}) {
    http::ClientRequest wanted = request("POST", "/v1/chat/completions", body.dump());
    wanted.headers.insert(wanted.headers.end(), more.begin(), more.end());
    return std::async(std::launch::async, [this, wanted] { return call(wanted); });
  }

  static int retry_after(const Answer& answer) {
    return std::stoi(std::string(http::find_header(answer.headers, "Retry-After").value_or("0")));
  }

  std::vector<protocol::Assign> assigned_;
  int cancelled_ = 0;
};

TEST_F(BusyApiTest, HeadersTellWhereARequestStood) {
  auto first = later(chat());
  wait_until([&] { return assigned_.size() == 1; });
  auto second = later(chat());
  wait_until([&] { return waiting() == 1; });
  json flex = chat();
  flex["service_tier"] = "flex";
  auto third = later(flex);
  wait_until([&] { return waiting() == 2; });
  there([&] { EXPECT_EQ(core_->task_table().waiting().size(QueueClass::batch), 1u); });
  for (std::size_t i = 0; i < 3; ++i) answer(i);
  std::vector<std::string> places;
  for (auto* one : {&first, &second, &third}) {
    const Answer got = one->get();
    EXPECT_EQ(got.status, 200);
    places.emplace_back(http::find_header(got.headers, "Cortensor-Queue-Place").value_or("none"));
    // Nobody had been served yet who had to wait.
    const bool known = http::find_header(got.headers, "Cortensor-Queue-Eta-Ms").has_value();
    EXPECT_EQ(known, one == &first);
    EXPECT_EQ(got.body.value("service_tier", ""), one == &third ? "flex" : "");
  }
  EXPECT_EQ(places, (std::vector<std::string>{"0", "1", "2"}));
  auto fourth = later(chat());
  answer(3);
  EXPECT_EQ(http::find_header(fourth.get().headers, "Cortensor-Queue-Eta-Ms"), "0");
}

TEST_F(BusyApiTest, AStreamThatWaitsIsToldItsPlaceInComments) {
  auto first = later(chat());
  wait_until([&] { return assigned_.size() == 1; });
  auto second = later(chat());
  wait_until([&] { return waiting() == 1; });
  json body = chat();
  body["stream"] = true;
  std::string streamed;
  http::Client client;
  std::size_t comments = 0;
  const auto response = client.request_stream(request("POST", "/v1/chat/completions", body.dump()),
                                              [&](std::string_view bytes) {
                                                streamed += bytes;
                                                if (bytes.find(": queue") == bytes.npos) return true;
                                                answer(comments++);  // of whoever is before it
                                                if (comments == 2) answer(2);
                                                return true;
                                              });
  ASSERT_TRUE(response);
  EXPECT_EQ(http::find_header(response->headers, "Cortensor-Queue-Place"), "2");
  EXPECT_TRUE(streamed.starts_with(": queue place=2\n\n: queue place=1 eta_ms=")) << streamed;
  EXPECT_TRUE(streamed.ends_with("data: [DONE]\n\n"));
  std::size_t events = 0;
  http::SseParser parser;
  EXPECT_TRUE(parser.feed(streamed, [&](const http::SseEvent&) { ++events; }));
  EXPECT_GE(events, 3u);
}

TEST_F(BusyApiTest, ARefusalSaysWhenToComeAgain) {
  auto first = later(chat());
  wait_until([&] { return assigned_.size() == 1; });
  auto waits = later(chat(), {{"Cortensor-Deadline-Ms", "300"}});
  const Answer late = waits.get();  // before anything is known
  EXPECT_EQ(late.status, 429);
  EXPECT_EQ(late.body["error"]["code"], "overloaded");
  EXPECT_GE(retry_after(late), 1);

  std::vector<std::future<Answer>> calls;
  for (std::size_t i = 0; i < kEnoughToRefuse + 1; ++i) calls.push_back(later(chat()));
  wait_until([&] { return waiting() == calls.size(); });
  executor_.at(executor_.now() + std::chrono::milliseconds(100), [&] { miner_->run(assigned_.at(0)); });
  for (std::size_t i = 1; i < kEnoughToRefuse; ++i) answer(i);
  json body = chat();
  body["deadline_ms"] = 1;  // the mean is a tenth of 100 ms at least
  const Answer hopeless = post("/v1/chat/completions", body);
  EXPECT_EQ(hopeless.status, 429);
  EXPECT_THAT(hopeless.body["error"]["message"], HasSubstr("no miner is expected to be free in"));
  EXPECT_GE(retry_after(hopeless), 1);
  answer(kEnoughToRefuse), answer(kEnoughToRefuse + 1);
}

TEST_F(BusyApiTest, WhatIsSaidOfUrgencyIsChecked) {
  const auto param = [&](const json& more, http::Headers headers = {}) {
    json body = chat();
    body.update(more);
    const Answer got = later(body, std::move(headers)).get();
    EXPECT_EQ(got.status, 400);
    return got.body["error"].value("param", "");
  };
  EXPECT_EQ(param({{"service_tier", "priority"}}), "service_tier");
  EXPECT_EQ(param({{"deadline_ms", 0}}), "deadline_ms");
  EXPECT_EQ(param(json::object(), {{"Cortensor-Deadline-Ms", "1s"}}), "deadline_ms");
  EXPECT_EQ(param({{"deadline_ms", 5}}, {{"Cortensor-Deadline-Ms", "6"}}), "deadline_ms");
}

TEST_F(BusyApiTest, AClientThatHangsUpLeavesTheQueueAndStopsItsPrefill) {
  std::vector<std::unique_ptr<http::Client>> clients;
  std::vector<std::future<Result<http::ClientResponse>>> calls;
  const auto ask = [&](bool stream) {
    json body = chat();
    body["stream"] = stream;
    clients.push_back(std::make_unique<http::Client>());
    calls.push_back(std::async(std::launch::async, [&, client = clients.back().get(), body] {
      return client->request(request("POST", "/v1/chat/completions", body.dump()));
    }));
  };
  ask(true);
  wait_until([&] { return assigned_.size() == 1; });
  ask(true), ask(false), ask(true);
  wait_until([&] { return waiting() == 3; });
  clients[1]->cancel(), clients[2]->cancel();  // those that wait
  wait_until([&] { return waiting() == 1; });
  there([&] { EXPECT_EQ(cancelled_, 0); });
  clients[0]->cancel();  // before its first token: whoever waits gets its slot
  wait_until([&] { return assigned_.size() == 2; });
  there([&] { EXPECT_EQ(cancelled_, 1); });
  clients[3]->cancel();
  wait_until([&] { return core_->tasks() == 0 && cancelled_ == 2; });
  for (auto& call : calls) EXPECT_FALSE(call.get());
}

TEST_F(ApiTest, AFailureInTheMiddleOfAStreamIsAnErrorEvent) {
  attach_all();
  react([&](protocol::LinkId, const protocol::RouterMessage& message) {
    if (const auto* assign = std::get_if<protocol::Assign>(&message)) {
      miner_->send_steps(*assign, 0, 3);
      miner_->say(protocol::AttemptFailed{assign->attempt, ErrorKind::internal, "broken"});
    }
  });
  json body = chat();
  body["stream"] = true;
  const auto got = events("/v1/chat/completions", body);
  ASSERT_FALSE(got.empty());
  EXPECT_EQ(json::parse(got.back())["error"]["code"], "unavailable");
}

TEST_F(ApiTest, TheRestCanBeLookedAt) {
  attach_all();
  const Answer models = get("/v1/models");
  EXPECT_EQ(models.body["data"].at(0)["id"], "tiny:q8_0");
  EXPECT_EQ(models.body["data"][0]["cortensor"]["miners"], 1);
  EXPECT_EQ(models.body["data"][0]["cortensor"]["embedding_dimensions"], 8);
  EXPECT_EQ(models.body["data"][0]["cortensor"]["prompt_price_microcredits_per_million"], 2'000'000);
  EXPECT_EQ(get("/v1/models/tiny:q8_0").body, models.body["data"][0]);
  EXPECT_EQ(get("/v1/models/nope").status, 404);
  const Answer nodes = get("/v1/nodes");
  ASSERT_EQ(nodes.body["data"].size(), 2u);
  EXPECT_EQ(nodes.body["data"][0]["role"], "miner");
  EXPECT_EQ(nodes.body["data"][0]["slots"], 4);
  EXPECT_EQ(get("/healthz").body["status"], "ok");
  post("/v1/chat/completions", chat());
  http::Client client;
  const auto metrics = client.request({"GET", base_ + "/metrics", {}, ""});
  ASSERT_TRUE(metrics);
  EXPECT_THAT(metrics->body, HasSubstr("cortensor_router_overhead_seconds_count"));
  EXPECT_THAT(metrics->body, HasSubstr("cortensor_router_work_seconds_count"));
}

}  // namespace
}  // namespace cortensor::router
