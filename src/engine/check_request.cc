#include <string>

#include "engine/constraint.h"
#include "engine/engine.h"
#include "engine/sampler.h"

namespace cortensor::engine {

namespace {

Status invalid(const std::string& message) {
  return fail(ErrorKind::invalid_input, message);
}

}  // namespace

std::string_view to_string(ReplayFinding finding) {
  switch (finding) {
    case ReplayFinding::valid:
      return "valid";
    case ReplayFinding::token_differs:
      return "token differs";
    case ReplayFinding::digest_differs:
      return "digest differs";
    case ReplayFinding::past_end:
      return "goes on past its end";
    case ReplayFinding::no_end:
      return "ends without a reason";
    case ReplayFinding::wrong_reason:
      return "wrong finish reason";
  }
  return "unknown";
}

Status check_request(const GenerationRequest& request, std::size_t vocab_size, std::size_t context_length) {
  if (request.prompt.empty()) return invalid("prompt: expected at least one token");
  if (request.prompt.size() >= context_length)
    return invalid("prompt: expected at most " + std::to_string(context_length - 1) + " tokens, found " +
                   std::to_string(request.prompt.size()));
  for (const TokenId token : request.prompt)
    if (token >= vocab_size)
      return invalid("prompt: token outside the vocabulary of " + std::to_string(vocab_size));
  if (request.max_tokens < 1) return invalid("max_tokens: expected at least 1");
  if (request.stop_tokens.size() > kMaxStopTokens)
    return invalid("stop tokens: expected at most " + std::to_string(kMaxStopTokens));
  if (request.stop_strings.size() > kMaxStopStrings)
    return invalid("stop strings: expected at most " + std::to_string(kMaxStopStrings));
  for (const std::string& text : request.stop_strings)
    if (text.empty() || text.size() > kMaxStopStringBytes)
      return invalid("stop strings: expected 1 to " + std::to_string(kMaxStopStringBytes) +
                     " bytes each, found " + std::to_string(text.size()));
  if (!request.grammar.empty()) {
    if (request.stop_tokens.empty()) return invalid("grammar: expected a stop token to end the answer with");
    if (Status valid = check_grammar(request.grammar); !valid) return valid;
  }
  if (request.embedding > kMaxEmbedding)
    return invalid("embedding: expected at most " + std::to_string(kMaxEmbedding) + " elements");
  if (request.embedding > 0 && request != embedding_request(request.prompt, request.embedding))
    return invalid("embedding: expected no parameters of answers beside it");
  return check_sampling(request.sampling, vocab_size);
}

}  // namespace cortensor::engine
