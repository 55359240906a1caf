// Makes a model file with other types of weights: any from F32, F16 or BF16, and these from any. The same
// input gives the same file everywhere, on any number of threads.   Spec: A16, A17, model-file.md
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/gguf_file.h"

namespace cortensor::engine {

struct QuantizeReport {
  std::uint64_t bytes_in = 0;  // of the two files
  std::uint64_t bytes_out = 0;
  std::uint32_t tensors_quantized = 0;
  std::uint32_t tensors_copied = 0;
  bool from_quantised = false;  // some weights had been rounded before
  // Matrices whose rows are no whole blocks of the target, and what they became: "blk.0.ffn_down.weight:
  // q5_0".
  std::vector<std::string> other_types;
};

// Writes `out` from `in`; the target is a mixture's name (mixture.h). Matrices are quantised when their rows
// are a multiple of 32, everything else is kept as it is. threads 0: one for each processor.
// invalid_input when the target is quantised and `in` is already; for a native target, only when that is
// native too. On any error there is no new file.
Result<QuantizeReport> quantize_file(const std::string& in, const std::string& out, std::string_view target,
                                     const Progress& progress = {}, std::size_t threads = 0);

}  // namespace cortensor::engine
