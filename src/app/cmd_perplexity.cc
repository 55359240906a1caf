// cortensor perplexity: how well a model predicts a text.
#include <cstdio>

#include "app/command.h"
#include "app/number_option.h"
#include "app/progress.h"
#include "app/subcommands.h"
#include "app/text_file.h"
#include "engine/perplexity.h"

namespace cortensor::app {
namespace {

struct Options {
  std::string model, file;
  engine::EvaluatorOptions engine;
  engine::PerplexityOptions measure;
};

Result<Exit> perplexity(const Options& given) {
  Options options = given;
  const auto text = read_text_file(options.file);
  if (!text) return text.error();
  if (options.measure.stride == 0) options.measure.stride = options.measure.context / 2;
  options.engine.context = options.measure.context;

  engine::PerplexityReport report;
  std::string how;
  {
    ProgressBar bar("Perplexity");
    auto model = engine::Evaluator::load(options.model, options.engine,
                                         [&](double fraction) { bar.update(fraction, "loading"); });
    if (!model) return model.error();
    const auto tokenizer = engine::Tokenizer::from_gguf((*model)->file());
    if (!tokenizer) return Error(tokenizer.error()).context(options.model);
    if (tokenizer->vocab_size() > (*model)->vocab_size())
      return fail(ErrorKind::corrupt, options.model + ": the tokenizer has more tokens than the model");
    auto measured =
        engine::measure_perplexity(**model, *tokenizer, tokenizer->encode(*text), options.measure,
                                   [&](double fraction) { bar.update(fraction, "reading the text"); });
    if (!measured) return std::move(measured).error_context(options.file);
    report = *measured;
    how = (*model)->name();
  }
  std::printf("%zu tokens scored in %zu windows of %zu, stride %zu (%s)\n", report.tokens, report.windows,
              options.measure.context, options.measure.stride, how.c_str());
  std::printf("nll        %.6f +- %.6f nats a token\n", report.nll, report.standard_error);
  std::printf("perplexity %.5f +- %.5f\n", report.perplexity, report.perplexity_error);
  return Exit::success;
}

}  // namespace

void add_perplexity(CLI::App& root) {
  auto options = std::make_shared<Options>();
  options->measure.stride = 0;
  CLI::App* command = root.add_subcommand("perplexity", "Measure how well a model predicts a text");
  command->add_option("-m,--model", options->model, "model file")->required();
  command->add_option("-f,--file", options->file, "the text")->required();
  command->add_option("--context", options->measure.context, "tokens of a window, the begin token included")
      ->capture_default_str()
      ->transform(whole(8, 1 << 20));
  command
      ->add_option("--stride", options->measure.stride,
                   "tokens from one window to the next; by default half a window")
      ->transform(whole(1, 1 << 20));
  command->add_option("--windows", options->measure.windows, "only the first so many; 0 is all")
      ->capture_default_str()
      ->transform(whole(0, 1 << 30));
  command->add_option("--isa", options->engine.isa, kIsaHelp);
  command->add_option("--threads", options->engine.threads, "0 is one per processor")
      ->capture_default_str()
      ->transform(thread_count());
  command->footer(
      "Only the last half of each window is scored (fewer tokens if the stride is shorter), so every\n"
      "scored token has at least half a window before it. Compare models on the same text, context\n"
      "and stride only.\n"
      "Examples:\n"
      "  cortensor perplexity --model tales.q8_0.gguf --file valid.txt\n"
      "  cortensor perplexity --model tales.q4_0.gguf --file valid.txt --context 1024 --windows 100");
  run_with(command, [options] { return perplexity(*options); });
}

}  // namespace cortensor::app
