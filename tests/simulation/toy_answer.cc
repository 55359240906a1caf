#include "toy_answer.h"

#include "base/bytes.h"
#include "crypto/sha256.h"
#include "engine/transcript.h"

namespace cortensor::simulation {

std::vector<float> toy_embedding(const GenerationRequest& request) {
  std::vector<float> elements(request.embedding, 0.25f);
  for (std::size_t i = 0; i < elements.size(); ++i)
    for (const TokenId token : request.prompt)
      elements[i] += static_cast<float>(token * (i + 1) % 7) / 64.0f - 0.05f;
  return elements;
}

ToyAnswer::ToyAnswer(const GenerationRequest& request, const router::ServedModel& model)
    : model_(model),
      embeds_(request.embedding > 0),
      elements_(toy_embedding(request)),
      stops_(request, model.tokenizer, model.manifest.context_length) {
  ByteWriter bytes;
  for (const TokenId token : request.prompt) bytes.number(token);
  if (request.sampling.temperature > 0) bytes.number(request.sampling.seed);  // greedy asks for no chance
  state_ = crypto::sha256(bytes.bytes());
}

Step ToyAnswer::next() const {
  if (embeds_) return {kEmbeddingToken, engine::position_digest(elements_, kEmbeddingToken)};
  Step step;
  if (state_[0] % 32 == 0)
    step.token = *model_.tokenizer.eot();
  else if (state_[0] % 32 == 1)
    step.token = state_[1];  // any byte, so that text is not always whole
  else
    step.token = 'a' + state_[1] % 6u;
  ByteWriter bytes;
  bytes.number(step.token);
  bytes.raw(state_);
  step.digest = crypto::sha256(bytes.bytes());
  return step;
}

void ToyAnswer::take(TokenId token) {
  ended_ = stops_.feed(token);
  ByteWriter bytes;
  bytes.raw(state_);
  bytes.number(token);
  state_ = crypto::sha256(bytes.bytes());
}

Transcript reference(const GenerationRequest& request, const router::ServedModel& model) {
  Transcript transcript;
  ToyAnswer answer(request, model);
  engine::TextStream text(request, model.tokenizer, model.manifest.context_length);
  while (!answer.ended()) {
    transcript.steps.push_back(answer.next());
    answer.take(transcript.steps.back().token);
    if (!request.embedding) transcript.text += text.feed(transcript.steps.back().token).text;
  }
  transcript.finish = *answer.ended();
  return transcript;
}

}  // namespace cortensor::simulation
