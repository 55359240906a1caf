#include "toy_model.h"

#include "engine/gguf_file.h"
#include "tests/unit/engine/tiny_vocabulary.h"

namespace cortensor::router {

std::unique_ptr<ServedModel> make_model(const std::string& id, std::uint8_t weights) {
  const Bytes bytes = engine::ByteLevelVocabulary{}.file();
  auto file = engine::GgufFile::parse(bytes);
  auto tokenizer = engine::Tokenizer::from_gguf(*file);
  protocol::ModelManifest manifest;
  manifest.id = id;
  manifest.architecture = "llama";
  manifest.quantisation = "q8_0";
  manifest.weights.fill(weights);
  manifest.tokenizer = tokenizer->digest();
  manifest.context_length = kContext;
  manifest.vocabulary = tokenizer->vocab_size();
  auto model = std::make_unique<ServedModel>(std::move(manifest), std::move(*tokenizer));
  model->dim = 8;
  model->chat = engine::ChatTemplate::from_gguf(*file, model->tokenizer);
  return model;
}

}  // namespace cortensor::router
