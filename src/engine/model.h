// A model file bound to its meaning: the configuration and every tensor by name, with shapes checked once,
// here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "arith/llama_reference.h"
#include "base/result.h"
#include "engine/config.h"
#include "engine/gguf_file.h"

namespace cortensor::engine {

struct Model {
  LlamaConfig config;
  arith::LlamaWeights weights;  // borrowed from the file
  std::uint64_t parameters = 0;
  std::string quantisation;  // type of the layers' matrices, in lower case; "mixed" if they differ
};

// All that `quantisation` may say.
const std::vector<std::string>& quantisation_names();

// corrupt: a tensor is missing or has another shape than the configuration says; unsupported: a variant we do
// not compute, or a tensor that is no part of it. The file must outlive the model. Values of vectors are
// checked to be finite; those of matrices are left to whoever loads them.
Result<Model> bind_model(const GgufFile& file);

}  // namespace cortensor::engine
