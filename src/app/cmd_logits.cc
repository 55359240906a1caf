// cortensor logits: what a model makes of given tokens, as numbers for other tools.
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/command.h"
#include "app/number_option.h"
#include "app/progress.h"
#include "app/subcommands.h"
#include "app/text_file.h"
#include "engine/evaluator.h"
#include "engine/output_file.h"

namespace cortensor::app {
namespace {

Result<std::vector<TokenId>> read_tokens(const std::string& path) {
  const auto text = read_text_file(path);
  if (!text) return text.error();
  const auto json = nlohmann::json::parse(*text, nullptr, false);
  const auto is_id = [](const nlohmann::json& id) { return id.is_number_unsigned() && id <= 0xffffffffu; };
  if (!json.is_array() || json.empty() || !std::all_of(json.begin(), json.end(), is_id))
    return fail(ErrorKind::invalid_input, path + ": expected a JSON list of one or more token ids");
  return json.get<std::vector<TokenId>>();
}

}  // namespace

void add_logits(CLI::App& root) {
  struct Options {
    std::string model, tokens, out;
    engine::EvaluatorOptions engine;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = root.add_subcommand("logits", "Write the logits of every position of a list of tokens");
  command->add_option("-m,--model", options->model, "model file")->required();
  command
      ->add_option("--tokens", options->tokens, "JSON list of token ids, taken as they are from position 0")
      ->required();
  command
      ->add_option("--out", options->out,
                   "file to write: little-endian binary32, a row of the vocabulary's size "
                   "for each token")
      ->required();
  command->add_option("--isa", options->engine.isa, kIsaHelp);
  command->add_option("--threads", options->engine.threads, "0 is one per processor")
      ->capture_default_str()
      ->transform(thread_count());
  examples(command, "  cortensor logits --model mini.gguf --tokens tokens.json --out mini.f32");
  run_with(command, [options]() -> Result<Exit> {
    auto out = engine::OutputFile::create(options->out, std::array{options->model, options->tokens});
    if (!out) return out.error();
    const auto tokens = read_tokens(options->tokens);
    if (!tokens) return tokens.error();
    ProgressBar bar("Logits");
    options->engine.context = std::max<std::size_t>(1, tokens->size());
    auto model = engine::Evaluator::load(options->model, options->engine,
                                         [&](double fraction) { bar.update(fraction, "loading"); });
    if (!model) return model.error();
    const Status done = (*model)->run(*tokens, 0, [&](std::size_t position, std::span<const float> logits) {
      bar.update(static_cast<double>(position) / static_cast<double>(tokens->size()), "computing");
      return out->write({reinterpret_cast<const std::uint8_t*>(logits.data()), logits.size_bytes()});
    });
    if (!done) return done.error();
    if (const Status written = out->commit(); !written) return written.error();
    std::printf("%s: %zu rows of %zu logits\n", options->out.c_str(), tokens->size(), (*model)->vocab_size());
    return Exit::success;
  });
}

}  // namespace cortensor::app
