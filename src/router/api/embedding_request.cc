#include "router/api/embedding_request.h"

#include "protocol/message.h"

namespace cortensor::router {
namespace {

constexpr std::size_t kMaxNameBytes = 256;

}  // namespace

Parsed<EmbeddingCall> parse_embedding(std::string_view text) {
  BodyReader body(text);
  EmbeddingCall call;
  call.model = body.text("model", kMaxNameBytes).value_or("");
  if (call.model.empty()) body.refuse("model", "expected the name of a model");
  call.session = body.text("session", kMaxNameBytes).value_or("");
  call.input = read_prompts(body, "input", kMaxInputs);
  if (const auto dimensions = body.integer("dimensions", 1, kMaxEmbedding))
    call.dimensions = static_cast<std::uint32_t>(*dimensions);
  const std::string format = body.text("encoding_format", kMaxNameBytes).value_or("float");
  call.base64 = format == "base64";
  if (!call.base64 && format != "float") body.refuse("encoding_format", "expected float or base64");
  call.urgency = read_urgency(body);
  if (body.problem()) return tl::unexpected<ApiError>(*body.problem());
  return call;
}

Parsed<std::vector<GenerationRequest>> make_requests(const EmbeddingCall& call, const ServedModel& model) {
  auto inputs = encode_prompts(call.input, "input", model);
  if (!inputs) return tl::unexpected<ApiError>(std::move(inputs).error());
  if (call.dimensions.value_or(1) > model.dim)
    return refused(fail(ErrorKind::invalid_input,
                        "dimensions: the model's embeddings have " + std::to_string(model.dim) + " at most"),
                   "dimensions");
  std::size_t tokens = 0;
  std::vector<GenerationRequest> requests;
  for (std::vector<TokenId>& input : *inputs) {
    if (input.size() >= model.manifest.context_length)
      return refused(
          fail(ErrorKind::invalid_input,
               "input " + std::to_string(requests.size()) + " has " + std::to_string(input.size()) +
                   " tokens, the model's context has " + std::to_string(model.manifest.context_length)),
          "input");
    tokens += input.size();
    requests.push_back(embedding_request(std::move(input), call.dimensions.value_or(model.dim)));
  }
  if (tokens > protocol::kMaxPromptTokens)
    return refused(fail(ErrorKind::invalid_input, "input: expected at most " +
                                                      std::to_string(protocol::kMaxPromptTokens) +
                                                      " tokens in all, found " + std::to_string(tokens)),
                   "input");
  return requests;
}

}  // namespace cortensor::router
