// cortensor quantize IN OUT TYPE
#include <cstdio>
#include <string>

#include "app/command.h"
#include "app/progress.h"
#include "app/subcommands.h"
#include "engine/mixture.h"
#include "engine/quantize.h"

namespace cortensor::app {

void add_quantize(CLI::App& root) {
  struct Options {
    std::string in, out, type;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = root.add_subcommand(
      "quantize", "Make a model file with other weights: 2 to 8 bits each, or F32, F16, BF16");
  command->add_option("IN", options->in, "model file, best with F32, F16 or BF16 weights")->required();
  command->add_option("OUT", options->out, "file to write")->required();
  command
      ->add_option(
          "TYPE", options->type,
          "s8 or s4, the native profile: fastest to serve and to check; the others for other tools too")
      ->required()
      ->transform(CLI::IsMember(engine::mixture_names(), CLI::ignore_case));
  examples(command,
           "  cortensor quantize models/llama-tales-26m.f16.gguf tales.s8.gguf s8\n"
           "  cortensor quantize models/llama-tales-26m.f16.gguf tales.q4_k_m.gguf q4_k_m");
  run_with(command, [options]() -> Result<Exit> {
    ProgressBar bar("Quantising");
    const auto report = engine::quantize_file(
        options->in, options->out, options->type, [&](std::uint64_t done, std::uint64_t total) {
          bar.update(static_cast<double>(done) / static_cast<double>(total), "weights");
        });
    if (!report) return report.error();
    if (report->from_quantised)
      std::fputs(
          "cortensor: warning: the weights had been rounded to fewer bits before; a file with F16 gives "
          "better ones\n",
          stderr);
    std::printf("%s: %.1f MB -> %s: %.1f MB (%u matrices made, %u tensors kept)\n", options->in.c_str(),
                static_cast<double>(report->bytes_in) / 1e6, options->out.c_str(),
                static_cast<double>(report->bytes_out) / 1e6, report->tensors_quantized,
                report->tensors_copied);
    for (const std::string& matrix : report->other_types)
      std::printf("rows are no multiple of 256, so %s\n", matrix.c_str());
    return Exit::success;
  });
}

}  // namespace cortensor::app
