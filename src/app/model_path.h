// Model files as users name them: PATH, or ID=PATH to serve a file under another name.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"

namespace cortensor::app {

struct NamedModel {
  std::string id;  // what clients ask for; by default the file's name without .gguf
  std::string path;
};

Result<NamedModel> parse_model(const std::string& text);
Result<std::vector<NamedModel>> parse_models(const std::vector<std::string>& texts);

// Loads with a progress bar.
Result<std::unique_ptr<engine::Engine>> load_engine(const std::string& path,
                                                    const engine::EngineOptions& options);

// The given file or, when empty, the default model in the form asked for ("f16", "q8_0", "q4_0"): made from
// the models folder beside the binary or in the working directory, quantised there on first use.
Result<std::string> default_model(const std::string& quantisation);

}  // namespace cortensor::app
