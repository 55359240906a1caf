// cortensor convert DIR OUT.gguf
#include <cstdio>
#include <filesystem>

#include "app/command.h"
#include "app/progress.h"
#include "app/subcommands.h"
#include "convert/convert.h"

namespace cortensor::app {

void add_convert(CLI::App& root) {
  struct Options {
    std::string folder, out, name;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      root.add_subcommand("convert", "Make a model file from a Hugging Face folder (Llama 3 and later)");
  command->add_option("DIR", options->folder, "folder with config.json, tokenizer.json and *.safetensors")
      ->required();
  command->add_option("OUT", options->out, "GGUF file to write")->required();
  command->add_option("--name", options->name, "the model's name; by default the folder's");
  examples(command,
           "  cortensor convert Llama-3.2-1B-Instruct llama-3.2-1b.bf16.gguf\n"
           "  cortensor quantize llama-3.2-1b.bf16.gguf llama-3.2-1b.q8_0.gguf q8_0");
  run_with(command, [options]() -> Result<Exit> {
    std::string name = options->name;
    if (name.empty()) {
      std::error_code ignored;
      const auto folder = std::filesystem::weakly_canonical(options->folder, ignored);
      name = folder.has_filename() ? folder.filename().string() : folder.parent_path().filename().string();
    }
    Result<convert::ConvertReport> report = fail(ErrorKind::internal, "nothing was done");
    {
      ProgressBar bar("Converting");
      report = convert::convert_folder(
          options->folder, name, options->out, [&](std::uint64_t done, std::uint64_t total) {
            bar.update(static_cast<double>(done) / static_cast<double>(total), "weights");
          });
    }
    if (!report) return report.error();
    std::printf("%s: %u tensors, %.1f M parameters, %.1f MB\n", options->out.c_str(), report->tensors,
                static_cast<double>(report->parameters) / 1e6, static_cast<double>(report->bytes) / 1e6);
    return Exit::success;
  });
}

}  // namespace cortensor::app
