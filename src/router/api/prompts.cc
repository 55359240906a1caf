#include "router/api/prompts.h"

#include <limits>

namespace cortensor::router {
namespace {

// Megabytes of text would hold up every other client while they are cut into tokens that cannot fit: no token
// of a known vocabulary is longer than this.
constexpr std::size_t kMaxBytesPerToken = 256;

std::optional<std::vector<TokenId>> tokens_of(const Json& list) {
  std::vector<TokenId> tokens;
  for (const Json& one : list) {
    if (!one.is_number_unsigned() || one.get<std::uint64_t>() > std::numeric_limits<TokenId>::max())
      return std::nullopt;
    tokens.push_back(one.get<TokenId>());
  }
  return tokens;
}

}  // namespace

std::vector<Prompt> read_prompts(BodyReader& body, const std::string& name, std::size_t most) {
  const auto complain = [&] {
    body.refuse(name,
                "expected a string, a list of strings, a list of tokens, or a list of such lists; at most " +
                    std::to_string(most) + " of them, no list empty");
    return std::vector<Prompt>();
  };
  const Json* field = body.field(name);
  if (field == nullptr) return complain();
  if (field->is_string()) return {field->get<std::string>()};
  if (!field->is_array() || field->empty()) return complain();
  if (field->front().is_number()) {
    auto tokens = tokens_of(*field);
    return tokens ? std::vector<Prompt>{std::move(*tokens)} : complain();
  }
  if (field->size() > most) return complain();
  std::vector<Prompt> prompts;
  for (const Json& one : *field) {
    if (one.is_string()) {
      prompts.emplace_back(one.get<std::string>());
    } else {
      auto tokens = one.is_array() && !one.empty() ? tokens_of(one) : std::nullopt;
      if (!tokens) return complain();
      prompts.emplace_back(std::move(*tokens));
    }
  }
  return prompts;
}

std::optional<Error> too_long(std::size_t bytes, const ServedModel& model) {
  const std::size_t most = kMaxBytesPerToken * model.manifest.context_length;
  if (bytes <= most) return std::nullopt;
  return fail(ErrorKind::invalid_input,
              "expected at most " + std::to_string(most) + " bytes, as the model's context has " +
                  std::to_string(model.manifest.context_length) + " tokens, found " + std::to_string(bytes));
}

Parsed<std::vector<std::vector<TokenId>>> encode_prompts(const std::vector<Prompt>& prompts,
                                                         const std::string& name, const ServedModel& model) {
  std::vector<std::vector<TokenId>> all;
  for (const Prompt& prompt : prompts) {
    if (const auto* text = std::get_if<std::string>(&prompt)) {
      if (auto error = too_long(text->size(), model)) return refused(std::move(*error).context(name), name);
      all.push_back(model.tokenizer.encode_prompt(*text));
    } else {
      all.push_back(std::get<std::vector<TokenId>>(prompt));
    }
    for (const TokenId token : all.back())
      if (token >= model.manifest.vocabulary)
        return refused(fail(ErrorKind::invalid_input, name + ": token " + std::to_string(token) +
                                                          " is outside the vocabulary of " +
                                                          std::to_string(model.manifest.vocabulary)),
                       name);
    // An empty text is one for models that begin texts with a token of their own.
    if (all.back().empty()) return refused(fail(ErrorKind::invalid_input, name + ": is empty"), name);
  }
  return all;
}

}  // namespace cortensor::router
