#include "convert/hf_tokenizer.h"

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mapped_file.h"
#include "convert/json_file.h"

namespace cortensor::convert {
namespace {

using nlohmann::json;

// The token types of the format.
constexpr std::int32_t kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5;

constexpr std::string_view kLlama3Split =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

struct Tokens {
  std::vector<std::string> texts;
  std::vector<std::int32_t> types;
  std::map<std::string, std::uint32_t> added;  // by text

  explicit Tokens(std::uint32_t count) : texts(count), types(count, kUnused) {}

  Status put(std::string_view text, const json& id, std::int32_t type) {
    if (!id.is_number_unsigned() || id >= texts.size() || text.empty())
      return fail(ErrorKind::corrupt, "a token has no text, or an id that is not below vocab_size (" +
                                          std::to_string(texts.size()) + ")");
    const auto at = id.get<std::uint32_t>();
    if (!texts[at].empty() && texts[at] != text)
      return fail(ErrorKind::corrupt, "two tokens with the id " + std::to_string(at));
    texts[at] = text;
    types[at] = type;
    return ok();
  }
};

Status read_tokens(const json& tokenizer, Tokens& tokens) {
  const auto model = tokenizer.find("model");
  if (model == tokenizer.end() || !model->is_object() || !model->contains("vocab") ||
      !(*model)["vocab"].is_object())
    return fail(ErrorKind::corrupt, "expected model.vocab, an object");
  for (const auto& [text, id] : (*model)["vocab"].items())
    if (auto status = tokens.put(text, id, kNormal); !status) return status;
  const auto added = tokenizer.find("added_tokens");
  if (added == tokenizer.end() || !added->is_array()) return ok();
  for (const json& token : *added) {
    const auto text = token.is_object() ? find_text(token, "content", "added_tokens") : std::nullopt;
    const auto special = token.is_object() ? find_flag(token, "special", "added_tokens") : std::nullopt;
    if (!text || !*text || !special || !token.contains("id"))
      return fail(ErrorKind::corrupt, "added_tokens: expected objects with id, content and special");
    if (auto status = tokens.put(**text, token["id"], special->value_or(false) ? kControl : kUserDefined);
        !status)
      return status;
    tokens.added[**text] = token["id"].get<std::uint32_t>();
  }
  return ok();
}

// "left right", or newer, ["left", "right"].
Result<std::vector<std::string>> read_merges(const json& tokenizer) {
  std::vector<std::string> merges;
  const json& model = tokenizer["model"];
  const auto found = model.find("merges");
  if (found == model.end() || !found->is_array())
    return fail(ErrorKind::corrupt, "expected model.merges, a list");
  for (const json& merge : *found) {
    if (merge.is_string())
      merges.push_back(merge.get<std::string>());
    else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string())
      merges.push_back(merge[0].get<std::string>() + " " + merge[1].get<std::string>());
    else
      return fail(ErrorKind::corrupt, "model.merges: expected pairs");
  }
  return merges;
}

// An object with all of the wanted entries.
bool says(const json& object, const json& wanted) {
  for (const auto& [key, value] : wanted.items())
    if (!object.is_object() || object.value(key, json()) != value) return false;
  return true;
}

// What the vocabulary means, beyond its list: refused unless it is what "llama-bpe" means in a GGUF file.
Status check_rules(const json& tokenizer) {
  const json& model = tokenizer["model"];
  if (model.value("type", json()) != "BPE" || model.value("byte_fallback", json()) == true)
    return fail(ErrorKind::unsupported, "model: expected a byte-level BPE, as Llama 3 has");
  // A piece that is a token is that token: what the engine does, and not what an absent flag means.
  if (model.value("ignore_merges", json()) != true)
    return fail(ErrorKind::unsupported, "model.ignore_merges: expected true, as Llama 3 has");
  const auto normalizer = tokenizer.find("normalizer");
  if (normalizer != tokenizer.end() && !normalizer->is_null())
    return fail(ErrorKind::unsupported, "normalizer: expected none, as Llama 3 has");
  const auto pre = tokenizer.find("pre_tokenizer");
  const json steps =
      pre != tokenizer.end() && pre->is_object() ? pre->value("pretokenizers", json()) : json();
  const json split{
      {"type", "Split"}, {"pattern", {{"Regex", kLlama3Split}}}, {"behavior", "Isolated"}, {"invert", false}};
  const json bytes{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  if (!steps.is_array() || steps.size() != 2 || !says(steps[0], split))
    return fail(ErrorKind::unsupported, "pre_tokenizer: expected Llama 3's split of a text into words");
  if (!says(steps[1], bytes))
    return fail(ErrorKind::unsupported,
                "pre_tokenizer: expected bytes without add_prefix_space and use_regex, as Llama 3 has");
  return ok();
}

// A special token of tokenizer_config.json: its text, or an object with it.
std::optional<std::string> named_token(const json& config, std::string_view key) {
  const auto found = config.find(key);
  if (found == config.end()) return std::nullopt;
  if (found->is_string()) return found->get<std::string>();
  if (found->is_object() && found->contains("content") && (*found)["content"].is_string())
    return (*found)["content"].get<std::string>();
  return std::nullopt;
}

// A template, or of several named ones the default; newer folders have it in a file of its own.
std::optional<std::string> chat_template(const std::filesystem::path& folder, const json& config) {
  const auto found = config.find("chat_template");
  if (found != config.end() && found->is_string()) return found->get<std::string>();
  if (found != config.end() && found->is_array())
    for (const json& one : *found)
      if (one.is_object() && one.value("name", json()) == "default" && one.contains("template") &&
          one["template"].is_string())
        return one["template"].get<std::string>();
  const auto file = MappedFile::open((folder / "chat_template.jinja").string());
  if (!file) return std::nullopt;
  return std::string(text_of(file->bytes()));
}

}  // namespace

Status add_hf_tokenizer(const std::string& folder, const HfConfig& config, engine::GgufWriter& writer) {
  const std::filesystem::path base(folder);
  const std::string path = (base / "tokenizer.json").string();
  const auto tokenizer = read_json_object(path);
  if (!tokenizer) return tokenizer.error();
  Tokens tokens(config.vocab_size);
  if (auto status = read_tokens(*tokenizer, tokens); !status) return std::move(status).error_context(path);
  if (auto status = check_rules(*tokenizer); !status) return std::move(status).error_context(path);
  const auto merges = read_merges(*tokenizer);
  if (!merges) return Error(merges.error()).context(path);
  for (std::size_t id = 0; id < tokens.texts.size(); ++id)
    if (tokens.texts[id].empty()) tokens.texts[id] = "[PAD" + std::to_string(id) + "]";

  const std::string config_path = (base / "tokenizer_config.json").string();
  auto stated = read_json_object(config_path);
  if (!stated && stated.error().kind != ErrorKind::not_found) return stated.error();
  const json none = json::object();
  const json& settings = stated ? *stated : none;

  writer.add_string("tokenizer.ggml.model", "gpt2");
  writer.add_string("tokenizer.ggml.pre", "llama-bpe");
  writer.add_strings("tokenizer.ggml.tokens", tokens.texts);
  writer.add_i32s("tokenizer.ggml.token_type", tokens.types);
  writer.add_strings("tokenizer.ggml.merges", *merges);
  const auto id_of = [&](const std::optional<std::string>& text) -> std::optional<std::uint32_t> {
    const auto found = text ? tokens.added.find(*text) : tokens.added.end();
    return found == tokens.added.end() ? std::nullopt : std::optional(found->second);
  };
  const auto add = [&](std::string_view key, std::optional<std::uint32_t> id,
                       std::optional<std::uint32_t> otherwise) {
    if (!id) id = otherwise;
    if (id && *id < tokens.texts.size()) writer.add_u32(key, *id);
    return id;
  };
  const auto bos = add("tokenizer.ggml.bos_token_id", id_of(named_token(settings, "bos_token")), config.bos);
  add("tokenizer.ggml.eos_token_id", id_of(named_token(settings, "eos_token")), config.eos);
  add("tokenizer.ggml.padding_token_id", id_of(named_token(settings, "pad_token")), {});
  add("tokenizer.ggml.eot_token_id", id_of("<|eot_id|>"), {});
  add("tokenizer.ggml.eom_token_id", id_of("<|eom_id|>"), {});
  const auto add_bos = find_flag(settings, "add_bos_token", config_path);
  if (!add_bos) return add_bos.error();
  writer.add_bool("tokenizer.ggml.add_bos_token", add_bos->value_or(bos.has_value()));
  if (const auto text = chat_template(base, settings)) writer.add_string("tokenizer.chat_template", *text);
  return ok();
}

}  // namespace cortensor::convert
