// The receipt as JSON. Reading is strict: every field must be there with its type and range, and nothing else
// may be, so that two readers never see two receipts in one text.
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "base/hex.h"
#include "protocol/json_keys.h"
#include "protocol/message.h"
#include "protocol/receipt.h"

namespace cortensor::protocol {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t kMaxPrice = 1'000'000'000'000;  // micro-credits per million tokens
constexpr std::int64_t kMaxAmount = 1'000'000'000'000'000;

constexpr std::string_view kGoesOn = "none";  // the finish of a commitment to an answer's beginning

std::string_view to_string(Method method) {
  return method == Method::replay ? "replay" : "quorum";
}

Json json_of(const GenerationRequest& request) {
  Json biases = Json::array();
  for (const LogitBias& one : request.sampling.logit_bias)
    biases.push_back({{"token", one.token}, {"bias", one.bias}});
  return {{"prompt", request.prompt},
          {"temperature", request.sampling.temperature},
          {"top_p", request.sampling.top_p},
          {"min_p", request.sampling.min_p},
          {"top_k", request.sampling.top_k},
          {"seed", request.sampling.seed},
          {"repetition_penalty", request.sampling.repetition_penalty},
          {"presence_penalty", request.sampling.presence_penalty},
          {"frequency_penalty", request.sampling.frequency_penalty},
          {"logit_bias", std::move(biases)},
          {"max_tokens", request.max_tokens},
          {"stop_tokens", request.stop_tokens},
          {"stop_strings", request.stop_strings},
          {"grammar", request.grammar},
          {"embedding", request.embedding}};
}

Json json_of(const ModelManifest& model) {
  return {{"id", model.id},
          {"architecture", model.architecture},
          {"quantisation", model.quantisation},
          {"weights_sha256", to_hex(model.weights)},
          {"tokenizer_sha256", to_hex(model.tokenizer)},
          {"context_length", model.context_length},
          {"vocabulary", model.vocabulary}};
}

Json json_of(const Commitment& commitment) {
  return {{"arithmetic_version", commitment.arithmetic_version},
          {"model", to_hex(commitment.model)},
          {"request", to_hex(commitment.request)},
          {"attempt", commitment.attempt.value},
          {"count", commitment.count},
          {"root", to_hex(commitment.root)},
          {"finish", commitment.finish ? to_string(*commitment.finish) : kGoesOn},
          {"miner", commitment.miner.value},
          {"signature", to_hex(commitment.signature)}};
}

Json json_of(const Verdict& verdict) {
  return {{"commitment", to_hex(verdict.commitment)},
          {"method", to_string(verdict.method)},
          {"outcome", to_string(verdict.outcome)},
          {"first_wrong", verdict.first_wrong},
          {"reason", verdict.reason},
          {"validator", verdict.validator.value},
          {"signature", to_hex(verdict.signature)}};
}

Json json_of(const Bill& bill) {
  Json payments = Json::array();
  for (const Payment& payment : bill.payments)
    payments.push_back(
        {{"kind", to_string(payment.kind)}, {"party", payment.party.value}, {"amount", payment.amount}});
  return {{"prompt_tokens", bill.prompt_tokens},
          {"completion_tokens", bill.completion_tokens},
          {"prompt_price", bill.prompt_price},
          {"completion_price", bill.completion_price},
          {"total", bill.total},
          {"payments", std::move(payments)}};
}

// Takes fields out of one JSON object by name and remembers the first thing wrong; ends with done(), which
// also refuses fields nobody asked for. After a failure everything yields defaults.
class Fields {
 public:
  Fields(const Json& object, std::string path, Error& error)
      : object_(object), path_(std::move(path)), error_(error) {
    if (!object.is_object()) set("expected an object");
  }

  std::string text(const char* name, std::size_t limit) {
    const Json* value = find(name);
    if (!value) return {};
    if (!value->is_string()) return set(name, "expected a string"), std::string();
    const auto& found = value->get_ref<const std::string&>();
    if (found.size() > limit)
      return set(name, "expected at most " + std::to_string(limit) + " bytes"), std::string();
    return found;
  }

  template <class Int>
  Int integer(const char* name, Int least, Int most) {
    const Json* value = find(name);
    if (!value) return least;
    const std::string range =
        "expected an integer from " + std::to_string(least) + " to " + std::to_string(most);
    if (!value->is_number_integer()) return set(name, range), least;
    bool fits = false;
    Int out = least;
    if (value->is_number_unsigned()) {
      const auto found = value->get<std::uint64_t>();
      fits = std::cmp_greater_equal(found, least) && std::cmp_less_equal(found, most);
      out = static_cast<Int>(found);
    } else {
      const auto found = value->get<std::int64_t>();
      fits = std::cmp_greater_equal(found, least) && std::cmp_less_equal(found, most);
      out = static_cast<Int>(found);
    }
    if (!fits) return set(name, range), least;
    return out;
  }

  float number(const char* name) {
    const Json* value = find(name);
    if (!value) return 0;
    if (!value->is_number() || !std::isfinite(value->get<float>()))
      return set(name, "expected a finite binary32 number"), 0.0f;
    return value->get<float>();
  }

  template <std::size_t N>
  std::array<std::uint8_t, N> hex(const char* name) {
    std::array<std::uint8_t, N> out{};
    const std::string digits = text(name, 2 * N);
    const auto bytes = from_hex(digits);
    if (!bytes || bytes->size() != N)
      return set(name, "expected " + std::to_string(2 * N) + " hexadecimal digits"), out;
    std::copy(bytes->begin(), bytes->end(), out.begin());
    return out;
  }

  // One of the names; yields its index.
  template <class Enum>
  Enum choice(const char* name, std::initializer_list<std::string_view> names) {
    const std::string found = text(name, 64);
    std::uint8_t index = 0;
    for (const std::string_view candidate : names) {
      if (candidate == found) return static_cast<Enum>(index);
      ++index;
    }
    return set(name, "unknown value"), Enum{};
  }

  const Json& array(const char* name, std::size_t limit) {
    static const Json empty = Json::array();
    const Json* value = find(name);
    if (!value) return empty;
    if (!value->is_array() || value->size() > limit)
      return set(name, "expected an array of at most " + std::to_string(limit)), empty;
    return *value;
  }

  std::vector<TokenId> tokens(const char* name, std::size_t limit) {
    std::vector<TokenId> out;
    for (const Json& token : array(name, limit)) {
      if (!token.is_number_unsigned() || token.get<std::uint64_t>() > 0xffffffffu)
        return set(name, "expected token ids"), out;
      out.push_back(token.get<TokenId>());
    }
    return out;
  }

  std::vector<std::string> texts(const char* name, std::size_t limit, std::size_t text_limit) {
    std::vector<std::string> out;
    for (const Json& item : array(name, limit)) {
      if (!item.is_string() || item.get_ref<const std::string&>().size() > text_limit)
        return set(name, "expected texts of at most " + std::to_string(text_limit) + " bytes"), out;
      out.push_back(item.get<std::string>());
    }
    return out;
  }

  Fields object(const char* name) {
    static const Json empty = Json::object();
    const Json* value = find(name);
    return Fields(value ? *value : empty, path_ + name + ".", error_);
  }

  Fields element(const char* name, const Json& item, std::size_t index) {
    return Fields(item, path_ + name + "[" + std::to_string(index) + "].", error_);
  }

  void done() {
    if (!object_.is_object() || object_.size() == taken_.size()) return;
    for (const auto& [name, value] : object_.items())
      if (!taken_.contains(name)) return set(name, "does not belong there");
  }

 private:
  const Json* find(const char* name) {
    if (!object_.is_object()) return nullptr;
    const auto at = object_.find(name);
    if (at == object_.end()) return set(name, "missing"), nullptr;
    taken_.insert(name);
    return &*at;
  }
  void set(const std::string& name, const std::string& what) {
    if (error_.message.empty())
      error_ = fail(ErrorKind::invalid_input, "receipt field " + path_ + name + ": " + what);
  }
  void set(const std::string& what) { set("", what); }

  const Json& object_;
  std::string path_;
  Error& error_;
  std::set<std::string_view> taken_;
};

Result<Json> parse_strictly(std::string_view text) {
  // The library would skip it.
  if (text.starts_with("\xef\xbb\xbf"))
    return fail(ErrorKind::invalid_input, "receipt: expected JSON, found a byte order mark");
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded())
    return fail(ErrorKind::invalid_input, "receipt: expected JSON, found something else");
  if (const auto twice = duplicate_key(text))
    return fail(ErrorKind::invalid_input, "receipt field " + *twice + ": is there twice");
  return json;
}

ModelManifest manifest_from(Fields fields) {
  ModelManifest model;
  model.id = fields.text("id", kMaxNameBytes);
  model.architecture = fields.text("architecture", kMaxNameBytes);
  model.quantisation = fields.text("quantisation", kMaxNameBytes);
  model.weights = fields.hex<32>("weights_sha256");
  model.tokenizer = fields.hex<32>("tokenizer_sha256");
  model.context_length = fields.integer<std::uint32_t>("context_length", 0, 0xffffffffu);
  model.vocabulary = fields.integer<std::uint32_t>("vocabulary", 0, 0xffffffffu);
  fields.done();
  return model;
}

GenerationRequest request_from(Fields fields) {
  GenerationRequest request;
  request.prompt = fields.tokens("prompt", kMaxPromptTokens);
  request.sampling.temperature = fields.number("temperature");
  request.sampling.top_p = fields.number("top_p");
  request.sampling.min_p = fields.number("min_p");
  request.sampling.top_k = fields.integer<std::uint32_t>("top_k", 0, 0xffffffffu);
  request.sampling.seed = fields.integer<std::uint64_t>("seed", 0, ~std::uint64_t{0});
  request.sampling.repetition_penalty = fields.number("repetition_penalty");
  request.sampling.presence_penalty = fields.number("presence_penalty");
  request.sampling.frequency_penalty = fields.number("frequency_penalty");
  const Json& biases = fields.array("logit_bias", kMaxLogitBiases);
  for (std::size_t i = 0; i < biases.size(); ++i) {
    Fields item = fields.element("logit_bias", biases[i], i);
    LogitBias one;
    one.token = item.integer<TokenId>("token", 0, 0xffffffffu);
    one.bias = item.number("bias");
    item.done();
    request.sampling.logit_bias.push_back(one);
  }
  request.max_tokens = fields.integer<std::uint32_t>("max_tokens", 1, kMaxAnswerTokens);
  request.stop_tokens = fields.tokens("stop_tokens", kMaxStopTokens);
  request.stop_strings = fields.texts("stop_strings", kMaxStopStrings, kMaxStopStringBytes);
  request.grammar = fields.text("grammar", kMaxGrammarBytes);
  request.embedding = fields.integer<std::uint32_t>("embedding", 0, kMaxEmbedding);
  fields.done();
  return request;
}

Commitment commitment_from(Fields fields) {
  Commitment commitment;
  commitment.arithmetic_version = fields.integer<std::uint32_t>("arithmetic_version", 0, 0xffffffffu);
  commitment.model = fields.hex<32>("model");
  commitment.request = fields.hex<32>("request");
  commitment.attempt = AttemptId(fields.text("attempt", kMaxNameBytes));
  commitment.count = fields.integer<std::uint32_t>("count", 0, kMaxAnswerTokens);
  commitment.root = fields.hex<32>("root");
  const auto finish = fields.choice<std::uint8_t>("finish", {"stop", "length", kGoesOn});
  commitment.finish = finish < 2 ? std::optional(static_cast<FinishReason>(finish)) : std::nullopt;
  commitment.miner = NodeId(fields.text("miner", 64));
  commitment.signature = fields.hex<64>("signature");
  fields.done();
  return commitment;
}

Verdict verdict_from(Fields fields) {
  Verdict verdict;
  verdict.commitment = fields.hex<32>("commitment");
  verdict.method = fields.choice<Method>("method", {"replay", "quorum"});
  verdict.outcome = fields.choice<Outcome>("outcome", {"VALID", "INVALID", "INCONCLUSIVE"});
  verdict.first_wrong = fields.integer<std::uint32_t>("first_wrong", 0, kMaxAnswerTokens);
  verdict.reason = fields.text("reason", kMaxReasonBytes);
  verdict.validator = NodeId(fields.text("validator", 64));
  verdict.signature = fields.hex<64>("signature");
  fields.done();
  return verdict;
}

Bill bill_from(Fields fields) {
  Bill bill;
  bill.prompt_tokens = fields.integer<std::uint32_t>("prompt_tokens", 0, kMaxPromptTokens);
  bill.completion_tokens = fields.integer<std::uint32_t>("completion_tokens", 0, kMaxAnswerTokens);
  bill.prompt_price = fields.integer<std::int64_t>("prompt_price", 0, kMaxPrice);
  bill.completion_price = fields.integer<std::int64_t>("completion_price", 0, kMaxPrice);
  bill.total = fields.integer<std::int64_t>("total", 0, kMaxAmount);
  const Json& payments = fields.array("payments", 64);
  for (std::size_t i = 0; i < payments.size(); ++i) {
    Fields item = fields.element("payments", payments[i], i);
    Payment payment;
    payment.kind = item.choice<Payment::Kind>("kind", {"miner", "validator", "router"});
    payment.party = NodeId(item.text("party", 64));
    payment.amount = item.integer<std::int64_t>("amount", 0, kMaxAmount);
    item.done();
    bill.payments.push_back(std::move(payment));
  }
  fields.done();
  return bill;
}

}  // namespace

std::string receipt_to_json(const Receipt& receipt) {
  Json steps = Json::array();
  for (const Step& step : receipt.steps)
    steps.push_back({{"token", step.token}, {"digest", to_hex(step.digest)}});
  Json commitments = Json::array();
  for (const Commitment& commitment : receipt.commitments) commitments.push_back(json_of(commitment));
  Json verdicts = Json::array();
  for (const Verdict& verdict : receipt.verdicts) verdicts.push_back(json_of(verdict));
  const Json json = {{"version", 1},
                     {"id", receipt.id},
                     {"issued_ms", receipt.issued_ms},
                     {"router", receipt.router.value},
                     {"session", receipt.session.value},
                     {"task", receipt.task.value},
                     {"choice", receipt.choice},
                     {"level", to_string(receipt.level)},
                     {"model", json_of(receipt.model)},
                     {"request", json_of(receipt.request)},
                     {"transcript", std::move(steps)},
                     {"commitments", std::move(commitments)},
                     {"verdicts", std::move(verdicts)},
                     {"bill", json_of(receipt.bill)},
                     {"signature", to_hex(receipt.signature)}};
  return json.dump(1, ' ', false, Json::error_handler_t::replace);
}

Result<Receipt> receipt_from_json(std::string_view text) {
  const auto json = parse_strictly(text);
  if (!json) return json.error();
  Error error;
  Fields fields(*json, "", error);
  Receipt receipt;
  fields.integer<int>("version", 1, 1);
  receipt.id = fields.text("id", kMaxNameBytes);
  receipt.issued_ms = fields.integer<std::int64_t>("issued_ms", 0, std::int64_t{1} << 53);
  receipt.router = NodeId(fields.text("router", 64));
  receipt.session = SessionId(fields.text("session", kMaxNameBytes));
  receipt.task = TaskId(fields.text("task", kMaxNameBytes));
  receipt.choice = fields.integer<std::uint32_t>("choice", 0, 1023);
  receipt.level = fields.choice<ValidationLevel>("level", {"none", "spot", "full", "quorum"});
  receipt.model = manifest_from(fields.object("model"));
  receipt.request = request_from(fields.object("request"));
  const Json& steps = fields.array("transcript", kMaxAnswerTokens);
  for (std::size_t i = 0; i < steps.size() && error.message.empty(); ++i) {
    Fields item = fields.element("transcript", steps[i], i);
    Step step;
    step.token = item.integer<TokenId>("token", 0, 0xffffffffu);
    step.digest = item.hex<32>("digest");
    item.done();
    receipt.steps.push_back(step);
  }
  const Json& commitments = fields.array("commitments", 64);
  for (std::size_t i = 0; i < commitments.size(); ++i)
    receipt.commitments.push_back(commitment_from(fields.element("commitments", commitments[i], i)));
  const Json& verdicts = fields.array("verdicts", 64);
  for (std::size_t i = 0; i < verdicts.size(); ++i)
    receipt.verdicts.push_back(verdict_from(fields.element("verdicts", verdicts[i], i)));
  receipt.bill = bill_from(fields.object("bill"));
  receipt.signature = fields.hex<64>("signature");
  fields.done();
  if (!error.message.empty()) return error;
  return receipt;
}

}  // namespace cortensor::protocol
