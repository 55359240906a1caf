#include "router/api/completion_request.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>

#include "crypto/random.h"
#include "engine/constraint.h"
#include "protocol/message.h"
#include "router/api/json_schema.h"

namespace cortensor::router {
namespace {

constexpr std::size_t kMaxNameBytes = 256;
constexpr std::size_t kMaxMessages = 4096;
constexpr std::int64_t kMaxTopK = 1 << 20;
// Drawn seeds fit a double, so that clients whose numbers are doubles can send them back.
constexpr std::uint64_t kSeedMask = (std::uint64_t{1} << 53) - 1;

void refuse_unsupported(BodyReader& body, const std::string& name) {
  body.refuse(name, "is not supported", ErrorKind::unsupported);
}

void read_seed(BodyReader& body, CompletionCall& call) {
  Sampling& sampling = call.sampling;
  sampling.seed = crypto::random_u64() & kSeedMask;
  const Json* seed = body.field("seed");
  call.seed_named = seed != nullptr;
  if (seed == nullptr) return;
  if (seed->is_number_integer()) {
    sampling.seed = seed->get<std::uint64_t>();  // of a negative one the same bits
    return;
  }
  const double number = seed->is_number() ? seed->get<double>() : 0.5;
  // Integers of that range are none of JSON's other numbers, so the ends are not in it.
  if (number != std::floor(number) || number <= -0x1p63 || number >= 0x1p64)
    return body.refuse("seed", "expected an integer from -9223372036854775808 to 18446744073709551615");
  sampling.seed = number < 0 ? static_cast<std::uint64_t>(static_cast<std::int64_t>(number))
                             : static_cast<std::uint64_t>(number);
}

void read_penalties(BodyReader& body, Sampling& sampling) {
  const auto repetition = body.number("repetition_penalty", 0, kMaxRepetitionPenalty).value_or(1);
  sampling.repetition_penalty = static_cast<float>(repetition);
  if (sampling.repetition_penalty <= 0)
    body.refuse("repetition_penalty", "expected a number above 0, at most 10");
  for (const auto& [name, penalty] : {std::pair{"presence_penalty", &sampling.presence_penalty},
                                      {"frequency_penalty", &sampling.frequency_penalty}})
    *penalty = static_cast<float>(body.number(name, -kMaxPenalty, kMaxPenalty).value_or(0));

  const Json* biases = body.field("logit_bias");
  if (biases == nullptr) return;
  if (!biases->is_object() || biases->size() > kMaxLogitBiases)
    return body.refuse("logit_bias", "expected an object of at most " + std::to_string(kMaxLogitBiases) +
                                         " token ids with numbers from -100 to 100");
  std::map<TokenId, float> by_token;
  BodyReader values(*biases, "logit_bias");
  for (const auto& [key, value] : biases->items()) {
    TokenId token = 0;
    const char* end = key.data() + key.size();
    const auto parsed = std::from_chars(key.data(), end, token);
    if (parsed.ec != std::errc{} || parsed.ptr != end || std::to_string(token) != key)
      return body.refuse("logit_bias", "expected token ids, found something else");
    const auto bias = values.number(key, -kMaxLogitBias, kMaxLogitBias);
    if (values.problem()) return body.refuse(*values.problem());
    if (bias) by_token[token] = static_cast<float>(*bias);
  }
  for (const auto& [token, bias] : by_token) sampling.logit_bias.push_back({token, bias});
}

void read_sampling(BodyReader& body, Sampling& sampling) {
  sampling.temperature = static_cast<float>(body.number("temperature", 0, 2).value_or(1));
  // As the floats that they become.
  const auto top_p = body.number("top_p", "above 0, at most 1",
                                 [](double p) { return static_cast<float>(p) > 0 && p <= 1; });
  const auto min_p =
      body.number("min_p", "from 0, below 1", [](double p) { return p >= 0 && static_cast<float>(p) < 1; });
  sampling.top_p = static_cast<float>(top_p.value_or(1));
  sampling.min_p = static_cast<float>(min_p.value_or(0));
  sampling.top_k = static_cast<std::uint32_t>(body.integer("top_k", 0, kMaxTopK).value_or(0));
  read_penalties(body, sampling);
}

void read_stop(BodyReader& body, std::vector<std::string>& stop) {
  const Json* field = body.field("stop");
  if (field == nullptr) return;
  const Json list = field->is_array() ? *field : Json::array({*field});
  if (list.size() > kMaxStopStrings)
    return body.refuse("stop", "expected at most " + std::to_string(kMaxStopStrings) + " strings");
  for (const Json& one : list) {
    if (!one.is_string()) return body.refuse("stop", "expected a string or a list of strings");
    auto text = one.get<std::string>();
    if (text.empty() || text.size() > kMaxStopStringBytes)
      return body.refuse("stop",
                         "expected 1 to " + std::to_string(kMaxStopStringBytes) + " bytes in each string");
    if (std::find(stop.begin(), stop.end(), text) == stop.end()) stop.push_back(std::move(text));
  }
}

void read_max_tokens(BodyReader& body, CompletionCall& call) {
  for (const char* name : {"max_tokens", "max_completion_tokens"})
    if (const auto limit = body.integer(name, 1, protocol::kMaxAnswerTokens)) {
      call.max_tokens = static_cast<std::uint32_t>(*limit);
      call.max_tokens_param = name;
    }
}

void refuse_what_we_do_not_do(BodyReader& body, std::uint32_t n) {
  for (const char* name : {"tools", "functions"})
    if (const Json* field = body.field(name); field != nullptr && !field->empty())
      refuse_unsupported(body, name);
  if (const Json* modalities = body.field("modalities");
      modalities != nullptr && *modalities != Json::array({"text"}))
    refuse_unsupported(body, "modalities");
  if (body.flag("echo").value_or(false)) refuse_unsupported(body, "echo");
  if (!body.text("suffix", kMaxStopStringBytes).value_or("").empty()) refuse_unsupported(body, "suffix");
  if (const auto best = body.integer("best_of", 1, kMaxChoices); best && *best != n)
    refuse_unsupported(body, "best_of");
}

// response_format, or a grammar as it is.
void read_constraint(BodyReader& body, CompletionCall& call) {
  if (const Json* grammar = body.field("grammar"); grammar != nullptr) {
    call.grammar_param = "grammar";
    call.grammar = body.text("grammar", kMaxGrammarBytes).value_or("");
    if (call.grammar.empty()) return body.refuse("grammar", "expected a text that is not empty");
  }
  const Json* format = body.field("response_format");
  if (format == nullptr) return;
  const Json type = format->is_object() ? format->value("type", Json()) : Json();
  if (type == Json("text")) return;
  if (!call.grammar.empty()) return body.refuse("response_format", "and grammar exclude each other");
  call.grammar_param = "response_format";
  if (type == Json("json_object")) {
    call.grammar = json_grammar();
  } else if (type == Json("json_schema")) {
    const Json* outer = format->contains("json_schema") ? &(*format)["json_schema"] : nullptr;
    if (outer == nullptr || !outer->is_object() || !outer->contains("schema"))
      return body.refuse("response_format", "expected json_schema with a schema");
    auto grammar = schema_grammar((*outer)["schema"]);
    if (!grammar) return body.refuse("response_format", grammar.error().message, grammar.error().kind);
    call.grammar = std::move(*grammar);
  } else {
    return body.refuse("response_format", "expected an object with type text, json_object or json_schema");
  }
}

void read_common(BodyReader& body, CompletionCall& call) {
  call.model = body.text("model", kMaxNameBytes).value_or("");
  if (call.model.empty()) body.refuse("model", "expected the name of a model");
  call.session = body.text("session", kMaxNameBytes).value_or("");
  call.n = static_cast<std::uint32_t>(body.integer("n", 1, kMaxChoices).value_or(1));
  call.stream = body.flag("stream").value_or(false);
  if (const Json* options = body.field("stream_options"); options != nullptr) {
    BodyReader inner(*options, "stream_options");
    call.include_usage = inner.flag("include_usage").value_or(false);
    if (inner.problem()) body.refuse("stream_options", "expected an object with include_usage");
    if (!call.stream) body.refuse("stream_options", "is for stream: true only");
  }
  call.urgency = read_urgency(body);
  read_sampling(body, call.sampling);
  read_seed(body, call);
  read_stop(body, call.stop);
  read_max_tokens(body, call);
  read_constraint(body, call);
  if (!body.problem() && !call.grammar.empty())
    if (const Status valid = engine::check_grammar(call.grammar); !valid)
      body.refuse(call.grammar_param, valid.error().message);
  refuse_what_we_do_not_do(body, call.n);
}

// A string, or text parts joined.
std::optional<std::string> content_of(BodyReader& body, const Json& content, const std::string& at) {
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) {
    body.refuse(at, "expected a string or a list of text parts");
    return std::nullopt;
  }
  std::string text;
  for (const Json& part : content) {
    if (!part.is_object() || part.value("type", Json()) != Json("text") || !part.contains("text") ||
        !part["text"].is_string()) {
      body.refuse(at, "only parts of type text are supported", ErrorKind::unsupported);
      return std::nullopt;
    }
    text += part["text"].get<std::string>();
  }
  return text;
}

void read_messages(BodyReader& body, std::vector<engine::ChatMessage>& messages) {
  const Json* list = body.field("messages");
  if (list == nullptr || !list->is_array() || list->empty() || list->size() > kMaxMessages)
    return body.refuse("messages", "expected a list of 1 to " + std::to_string(kMaxMessages) + " messages");
  for (std::size_t i = 0; i < list->size(); ++i) {
    const Json& message = (*list)[i];
    const std::string at = "messages[" + std::to_string(i) + "]";
    if (!message.is_object() || !message.contains("role") || !message["role"].is_string())
      return body.refuse(at, "expected an object with role and content");
    auto role = message["role"].get<std::string>();
    if (role == "developer") role = "system";
    if (role != "system" && role != "user" && role != "assistant")
      return body.refuse(at + ".role", "expected system, developer, user or assistant");
    if (!message.contains("content")) return body.refuse(at + ".content", "is missing");
    auto content = content_of(body, message["content"], at + ".content");
    if (!content) return;
    messages.push_back({std::move(role), std::move(*content)});
  }
}

Parsed<CompletionCall> finished(const BodyReader& body, CompletionCall call) {
  if (body.problem()) return tl::unexpected<ApiError>(*body.problem());
  return call;
}

// The tokens of each prompt, before any question of room.
Parsed<std::vector<std::vector<TokenId>>> encode(const CompletionCall& call, const ServedModel& model) {
  if (call.chat) {
    std::size_t bytes = 0;
    for (const engine::ChatMessage& message : call.messages) bytes += message.content.size();
    if (auto error = too_long(bytes, model))
      return refused(std::move(*error).context("messages"), "messages");
    if (!model.chat)
      return refused(
          fail(ErrorKind::unsupported, "model " + call.model + " has no chat template; use /v1/completions"),
          "model");
    auto tokens = model.chat->render(call.messages);
    if (!tokens) return refused(std::move(tokens).error(), "messages");
    return std::vector<std::vector<TokenId>>{std::move(*tokens)};
  }
  return encode_prompts(call.prompts, "prompt", model);
}

}  // namespace

Parsed<CompletionCall> parse_chat(std::string_view text) {
  BodyReader body(text);
  CompletionCall call;
  call.chat = true;
  read_common(body, call);
  read_messages(body, call.messages);
  call.logprobs = body.flag("logprobs").value_or(false);
  if (const auto top = body.integer("top_logprobs", 0, kMaxTopLogprobs)) {
    if (!call.logprobs) body.refuse("top_logprobs", "is for logprobs: true only");
    call.top_logprobs = static_cast<std::uint32_t>(*top);
  }
  return finished(body, std::move(call));
}

Parsed<CompletionCall> parse_completion(std::string_view text) {
  BodyReader body(text);
  CompletionCall call;
  read_common(body, call);
  call.prompts = read_prompts(body, "prompt", kMaxBatch);
  const auto logprobs = body.integer("logprobs", 0, 5);
  call.logprobs = logprobs.has_value();
  call.top_logprobs = static_cast<std::uint32_t>(logprobs.value_or(0));
  if (call.prompts.size() * call.n > kMaxBatch)
    body.refuse("n", "expected at most " + std::to_string(kMaxBatch) + " choices over all prompts");
  return finished(body, std::move(call));
}

Parsed<std::vector<GenerationRequest>> make_requests(const CompletionCall& call, const ServedModel& model) {
  auto prompts = encode(call, model);
  if (!prompts) return tl::unexpected<ApiError>(std::move(prompts).error());
  const std::size_t context = model.manifest.context_length;
  if (const auto& biases = call.sampling.logit_bias;
      !biases.empty() && biases.back().token >= model.manifest.vocabulary)
    return refused(fail(ErrorKind::invalid_input, "logit_bias: token " + std::to_string(biases.back().token) +
                                                      " is outside the vocabulary of " +
                                                      std::to_string(model.manifest.vocabulary)),
                   "logit_bias");
  std::vector<GenerationRequest> requests;
  for (std::vector<TokenId>& prompt : *prompts) {
    const std::string length = std::to_string(prompt.size()) + " tokens";
    const std::string room = "the model's context has " + std::to_string(context);
    if (prompt.size() >= context)
      return refused(fail(ErrorKind::invalid_input, "the prompt has " + length + ", " + room),
                     call.chat ? "messages" : "prompt");
    const std::size_t left = context - prompt.size();
    if (call.max_tokens && *call.max_tokens > left)
      return refused(fail(ErrorKind::invalid_input, call.max_tokens_param + ": the prompt has " + length +
                                                        " and " + std::to_string(*call.max_tokens) +
                                                        " more are asked for; " + room),
                     call.max_tokens_param);
    for (std::uint32_t i = 0; i < call.n; ++i) {
      GenerationRequest request;
      request.prompt = prompt;
      request.sampling = call.sampling;
      request.sampling.seed += requests.size();
      request.max_tokens = call.max_tokens.value_or(
          static_cast<std::uint32_t>(std::min<std::size_t>(kDefaultMaxTokens, left)));
      const auto stop = model.tokenizer.stop_tokens();
      request.stop_tokens.assign(stop.begin(), stop.end());
      request.stop_strings = call.stop;
      request.grammar = call.grammar;
      requests.push_back(std::move(request));
    }
  }
  return requests;
}

}  // namespace cortensor::router
