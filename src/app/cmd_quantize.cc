// cortensor quantize IN OUT TYPE
#include <cstdio>
#include <map>
#include <string>

#include "app/command.h"
#include "app/progress.h"
#include "app/subcommands.h"
#include "engine/quantize.h"

namespace cortensor::app {
namespace {

const std::map<std::string, engine::TensorType> kTypes{{"s8", engine::TensorType::s8},
                                                       {"s4", engine::TensorType::s4},
                                                       {"q8_0", engine::TensorType::q8_0},
                                                       {"q4_0", engine::TensorType::q4_0}};

}  // namespace

void add_quantize(CLI::App& root) {
  struct Options {
    std::string in, out, type;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = root.add_subcommand("quantize", "Make a smaller model file: 8 or 4 bits per weight");
  command->add_option("IN", options->in, "model file with F32, F16 or BF16 weights")->required();
  command->add_option("OUT", options->out, "file to write")->required();
  command
      ->add_option(
          "TYPE", options->type,
          "s8 or s4, the native profile: fastest to serve and to check; q8_0 or q4_0 for other tools too")
      ->required()
      ->check(CLI::IsMember({"s8", "s4", "q8_0", "q4_0"}));
  examples(command,
           "  cortensor quantize models/llama-tales-26m.f16.gguf tales.s8.gguf s8\n"
           "  cortensor quantize models/llama-tales-26m.f16.gguf tales.q4_0.gguf q4_0");
  run_with(command, [options]() -> Result<Exit> {
    ProgressBar bar("Quantising");
    const auto report = engine::quantize_file(
        options->in, options->out, kTypes.at(options->type), [&](std::uint64_t done, std::uint64_t total) {
          bar.update(static_cast<double>(done) / static_cast<double>(total), "weights");
        });
    if (!report) return report.error();
    if (report->from_quantised)
      std::fputs(
          "cortensor: warning: weights that had been rounded were rounded again; a file with F16 gives "
          "better ones\n",
          stderr);
    std::printf("%s: %.1f MB -> %s: %.1f MB (%u matrices quantised, %u tensors kept)\n", options->in.c_str(),
                static_cast<double>(report->bytes_in) / 1e6, options->out.c_str(),
                static_cast<double>(report->bytes_out) / 1e6, report->tensors_quantized,
                report->tensors_copied);
    return Exit::success;
  });
}

}  // namespace cortensor::app
