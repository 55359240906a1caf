#include "router/model_loader.h"

#include "engine/gguf_file.h"
#include "engine/model.h"
#include "protocol/message.h"

namespace cortensor::router {

Result<std::unique_ptr<ServedModel>> load_served_model(const std::string& id, const std::string& path) {
  const std::string doing = "model " + id + " (" + path + ")";
  if (id.empty() || id.size() > protocol::kMaxNameBytes)
    return fail(ErrorKind::invalid_input,
                doing + ": expected a name of 1 to " + std::to_string(protocol::kMaxNameBytes) + " bytes");
  auto file = engine::GgufFile::open(path);
  if (!file) return std::move(file).error_context(doing);
  auto model = engine::bind_model(*file);
  if (!model) return std::move(model).error_context(doing);
  auto tokenizer = engine::Tokenizer::from_gguf(*file);
  if (!tokenizer) return std::move(tokenizer).error_context(doing);

  protocol::ModelManifest manifest;
  manifest.id = id;
  manifest.architecture = "llama";
  manifest.quantisation = model->quantisation;
  manifest.weights = engine::weights_digest(*file);
  manifest.tokenizer = tokenizer->digest();
  manifest.context_length = static_cast<std::uint32_t>(model->config.context_length);
  manifest.vocabulary = tokenizer->vocab_size();
  if (manifest.vocabulary != model->config.vocab_size)
    return fail(ErrorKind::corrupt, doing + ": tokenizer: expected " +
                                        std::to_string(model->config.vocab_size) + " tokens, found " +
                                        std::to_string(manifest.vocabulary));
  auto served = std::make_unique<ServedModel>(std::move(manifest), std::move(*tokenizer));
  served->dim = static_cast<std::uint32_t>(model->config.dim);
  auto chat = engine::ChatTemplate::from_gguf(*file, served->tokenizer);
  if (chat.known()) served->chat = std::move(chat);
  return served;
}

}  // namespace cortensor::router
