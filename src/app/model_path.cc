#include "app/model_path.h"

#include <filesystem>

#include "app/progress.h"
#include "engine/quantize.h"

namespace cortensor::app {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kDefaultModel = "llama-tales-26m";

Result<fs::path> models_folder() {
  std::error_code error;
  std::vector<fs::path> candidates{fs::path("models")};
  if (const fs::path self = fs::read_symlink("/proc/self/exe", error); !error)
    candidates.push_back(self.parent_path() / "models");
  for (const fs::path& folder : candidates)
    if (fs::exists(folder / (std::string(kDefaultModel) + ".f16.gguf"), error)) return folder;
  return fail(ErrorKind::not_found,
              "the default model: expected models/" + std::string(kDefaultModel) +
                  ".f16.gguf in the working directory or beside the program; name one with --model");
}

}  // namespace

Result<NamedModel> parse_model(const std::string& text) {
  NamedModel model;
  const auto equals = text.find('=');
  model.path = equals == std::string::npos ? text : text.substr(equals + 1);
  model.id = equals == std::string::npos ? fs::path(text).stem().string() : text.substr(0, equals);
  if (model.id.empty() || model.path.empty())
    return fail(ErrorKind::invalid_input, "model '" + text + "': expected PATH or ID=PATH");
  return model;
}

Result<std::vector<NamedModel>> parse_models(const std::vector<std::string>& texts) {
  std::vector<NamedModel> models;
  for (const std::string& text : texts) {
    auto model = parse_model(text);
    if (!model) return std::move(model.error());
    models.push_back(std::move(*model));
  }
  return models;
}

Result<std::unique_ptr<engine::Engine>> load_engine(const std::string& path,
                                                    const engine::EngineOptions& options) {
  ProgressBar bar("Loading " + fs::path(path).filename().string());
  return engine::Engine::load(path, options,
                              [&](double fraction, std::string_view doing) { bar.update(fraction, doing); });
}

Result<std::string> default_model(const std::string& quantisation) {
  const auto folder = models_folder();
  if (!folder) return folder.error();
  const std::string source = (*folder / (std::string(kDefaultModel) + ".f16.gguf")).string();
  if (quantisation == "f16") return source;
  if (quantisation != "q8_0" && quantisation != "q4_0")
    return fail(ErrorKind::invalid_input,
                "quantisation: expected f16, q8_0 or q4_0, found '" + quantisation + "'");
  const std::string target = (*folder / (std::string(kDefaultModel) + "." + quantisation + ".gguf")).string();
  std::error_code error;
  // A form older than its source belongs to an earlier model.
  if (fs::exists(target, error) && fs::last_write_time(target, error) >= fs::last_write_time(source, error))
    return target;
  ProgressBar bar("Quantising to " + quantisation);
  const auto report =
      engine::quantize_file(source, target, quantisation, [&](std::uint64_t done, std::uint64_t total) {
        bar.update(static_cast<double>(done) / static_cast<double>(total), "weights");
      });
  if (!report) return report.error();
  return target;
}

}  // namespace cortensor::app
