// Engine::load(): from a path to a running engine.
#include <algorithm>
#include <atomic>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>

#include "base/runtime/machine.h"
#include "engine/gguf_file.h"
#include "engine/local_engine.h"
#include "engine/model.h"

namespace cortensor::engine {

namespace {

std::string name_of(const Model& model, const std::string& path) {
  return model.config.name.empty() ? std::filesystem::path(path).stem().string() : model.config.name;
}

// Of the cache. All of them may come to be in memory: it keeps what was computed until the room is needed.
std::size_t page_count(const EngineOptions& options, std::size_t context_length, std::size_t page_bytes) {
  const std::size_t wanted = options.kv_tokens != 0 ? options.kv_tokens / kPagePositions
                                                    : options.max_sequences * pages_for(context_length);
  const std::uint64_t most = (options.kv_bytes != 0 ? options.kv_bytes : usable_memory() / 4) / page_bytes;
  return std::clamp<std::size_t>(wanted, 1, std::max<std::size_t>(1, most));
}

Result<LocalEngine::Parts> load_parts(const std::string& path, const EngineOptions& options,
                                      const Engine::Progress& progress) {
  if (options.max_sequences < 1 || options.prefill_chunk < 1)
    return fail(ErrorKind::invalid_input, "engine: expected at least one sequence and one row");
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
  const std::size_t threads = options.threads != 0 ? options.threads : usable_processors();
  auto backend = compute::make_cpu_backend({threads, options.isa});
  if (!backend) return std::move(backend).error();

  const std::size_t pages =
      page_count(options, config.context_length, Forward::page_bytes(model->weights, **backend));
  const std::size_t max_rows = std::max(options.prefill_chunk, options.max_sequences);
  const std::uint64_t file_bytes = file->bytes().size();
  std::atomic<std::uint64_t> hashed{0};
  Digest digest;
  std::jthread hasher([&](std::stop_token stop) {  // while the pool packs
    const auto report = [&](std::uint64_t done, std::uint64_t) {
      hashed = done;
      hashed.notify_one();
    };
    digest = weights_digest(*file, report, std::move(stop));
  });
  const auto report = [&](double packed, std::string_view doing) {
    const double share = static_cast<double>(hashed) / static_cast<double>(file_bytes);
    if (progress) progress((packed + share) / 2, doing);
  };
  auto forward = Forward::create(
      model->weights, **backend, {config.context_length, pages, max_rows},
      [&](double packed) { report(packed, "loading the weights"); },
      [&](ByteView part) { file->release(part); });
  if (!forward) {
    // A backend does not know the names of tensors; which weight it refused is looked for only now.
    if (Status weights = check_weights(*file); !weights) return std::move(weights).error_context(path);
    return std::move(forward).error_context(path);
  }

  for (std::uint64_t done = hashed; done < file_bytes; done = hashed) {
    report(1.0, "hashing the weights");
    hashed.wait(done);
  }
  hasher.join();

  LocalEngine::Parts parts{
      {}, nullptr, nullptr, std::move(*backend), std::move(*forward), pages, options.max_sequences, max_rows};
  parts.tokenizer = std::make_unique<Tokenizer>(std::move(*tokenizer));
  parts.chat_template = std::make_unique<ChatTemplate>(ChatTemplate::from_gguf(*file, *parts.tokenizer));
  ModelInfo& info = parts.info;
  info.name = name_of(*model, path);
  info.architecture = "llama";
  info.quantisation = model->quantisation;
  info.context_length = config.context_length;
  info.vocab_size = config.vocab_size;
  info.dim = config.dim;
  info.layers = config.layers;
  info.parameters = model->parameters;
  info.file_bytes = file_bytes;
  info.weights_digest = digest;
  info.tokenizer_digest = parts.tokenizer->digest();
  return parts;
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::load(const std::string& path, const EngineOptions& options,
                                             const Progress& progress) {
  auto parts = load_parts(path, options, progress);
  if (!parts) return std::move(parts).error();
  return_free_memory();  // the file's directory and all that the tokenizer was made from
  return std::unique_ptr<Engine>(std::make_unique<LocalEngine>(std::move(*parts)));
}

}  // namespace cortensor::engine
