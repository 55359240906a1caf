// Makes a smaller model file from a larger one: 8 or 4 bits a weight from F32, F16 or BF16, in the blocks
// that other tools know or in the native profile. The same input gives the same file everywhere.   Spec: A16,
// A17, model-file.md
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "engine/gguf_file.h"

namespace cortensor::engine {

struct QuantizeReport {
  std::uint64_t bytes_in = 0;  // of the two files
  std::uint64_t bytes_out = 0;
  std::uint32_t tensors_quantized = 0;
  std::uint32_t tensors_copied = 0;
  bool from_quantised = false;  // some weights had been rounded before
};

// Writes `out` from `in`; target is q8_0, q4_0, s8 or s4. Matrices are quantised when their rows are a
// multiple of 32, everything else is kept as it is; with a target of 4 bits the embedding and the output
// matrix get 8, which costs little and keeps most of the quality. invalid_input when `in` is quantised
// already; for a native target, only when that is native too. On any error there is no new file.
Result<QuantizeReport> quantize_file(const std::string& in, const std::string& out, TensorType target,
                                     const Progress& progress = {});

}  // namespace cortensor::engine
