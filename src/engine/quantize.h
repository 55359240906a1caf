// Makes a smaller model file from a larger one: block weights of 8 or 4 bits from F32, F16 or BF16. The same
// input gives the same file everywhere.   Spec: A16, model-file.md
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
};

// Writes `out` from `in`; target is q8_0 or q4_0. Matrices are quantised when their rows are a multiple of
// 32, everything else is kept as it is; with q4_0 the embedding and the output matrix become Q8_0, which
// costs little and keeps most of the quality. invalid_input when `in` is quantised already. On any error
// there is no new file.
Result<QuantizeReport> quantize_file(const std::string& in, const std::string& out, TensorType target,
                                     const Progress& progress = {});

}  // namespace cortensor::engine
