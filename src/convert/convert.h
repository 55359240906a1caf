// From a Hugging Face folder to a GGUF file: config.json, tokenizer.json and safetensors of a Llama become
// one model file that our engine and others run.   Spec: model-file.md
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "engine/gguf_file.h"

namespace cortensor::convert {

struct ConvertReport {
  std::uint32_t tensors = 0;
  std::uint64_t parameters = 0;
  std::uint64_t bytes = 0;  // of the file
};

// Matrices keep their type (F32, F16 or BF16), vectors become F32. The same folder gives the same file
// everywhere; `name` becomes general.name. On any error there is no new file.
Result<ConvertReport> convert_folder(const std::string& folder, const std::string& name,
                                     const std::string& out, const engine::Progress& progress = {});

}  // namespace cortensor::convert
