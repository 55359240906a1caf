// Engine::load(): from a path to a running engine.
#include <algorithm>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>

#include "engine/local_engine.h"

namespace cortensor::engine {

namespace {

std::string name_of(const Model& model, const std::string& path) {
  return model.config.name.empty() ? std::filesystem::path(path).stem().string() : model.config.name;
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::load(const std::string& path, const EngineOptions& options,
                                             const Progress& progress) {
  if (options.max_sequences < 1 || options.prefill_chunk < 1)
    return fail(ErrorKind::invalid_input, "engine: expected at least one sequence and one row");
  const auto report = [&](double begin, double end, std::string_view doing) {
    return [&progress, begin, end, doing](std::uint64_t done, std::uint64_t total) {
      if (progress)
        progress(begin + (end - begin) * static_cast<double>(done) / static_cast<double>(total), doing);
    };
  };

  Result<GgufFile> file = GgufFile::open(path);
  if (!file) return std::move(file).error();
  Result<Model> model = bind_model(*file);
  if (!model) return std::move(model).error_context(path);
  Result<Tokenizer> tokenizer = Tokenizer::from_gguf(*file);
  if (!tokenizer) return std::move(tokenizer).error_context(path);
  const LlamaConfig& config = model->config;
  if (tokenizer->vocab_size() != config.vocab_size)
    return fail(ErrorKind::corrupt, path + ": tokenizer: expected " + std::to_string(config.vocab_size) +
                                        " tokens, found " + std::to_string(tokenizer->vocab_size()));
  const Digest digest = weights_digest(*file, report(0.0, 0.4, "hashing the weights"));

  const std::size_t threads =
      options.threads != 0 ? options.threads : std::max(1u, std::thread::hardware_concurrency());
  auto backend = compute::make_cpu_backend({threads, options.isa});
  if (!backend) return std::move(backend).error();

  const std::size_t kv_tokens =
      options.kv_tokens != 0 ? options.kv_tokens
                             : options.max_sequences * pages_for(config.context_length) * kPagePositions;
  const std::size_t pages = std::max<std::size_t>(1, kv_tokens / kPagePositions);
  const std::size_t max_rows = std::max(options.prefill_chunk, options.max_sequences);
  auto forward = Forward::create(model->weights, **backend, {config.context_length, pages, max_rows},
                                 [&](double fraction) {
                                   if (progress) progress(0.4 + 0.6 * fraction, "loading the weights");
                                 });
  if (!forward) {
    // A backend does not know the names of tensors; which weight it refused is looked for only now.
    if (Status weights = check_weights(*file); !weights) return std::move(weights).error_context(path);
    return std::move(forward).error_context(path);
  }

  LocalEngine::Parts parts{std::move(*file),
                           std::move(*model),
                           {},
                           nullptr,
                           nullptr,
                           std::move(*backend),
                           std::move(*forward),
                           pages,
                           options.max_sequences,
                           max_rows};
  parts.tokenizer = std::make_unique<Tokenizer>(std::move(*tokenizer));
  parts.chat_template = std::make_unique<ChatTemplate>(ChatTemplate::from_gguf(parts.file, *parts.tokenizer));
  ModelInfo& info = parts.info;
  info.name = name_of(parts.model, path);
  info.architecture = "llama";
  info.quantisation = parts.model.quantisation;
  info.context_length = parts.model.config.context_length;
  info.vocab_size = parts.model.config.vocab_size;
  info.dim = parts.model.config.dim;
  info.layers = parts.model.config.layers;
  info.parameters = parts.model.parameters;
  info.file_bytes = parts.file.bytes().size();
  info.weights_digest = digest;
  info.tokenizer_digest = parts.tokenizer->digest();
  return std::unique_ptr<Engine>(new LocalEngine(std::move(parts)));
}

}  // namespace cortensor::engine
