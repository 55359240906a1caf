// Makes a smaller model file from a larger one: block weights of 8 or 4 bits from F32, F16 or BF16.
// Spec: model-file.md
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"
#include "engine/gguf_file.h"

namespace cortensor::engine {

// Q8_0 or Q4_0 blocks of `weights`, whose length is a multiple of 32, to `out` (34 or 18 bytes a block).
// A weight too large for a 16-bit scale gives an infinite scale; quantize_file refuses such tensors.
void quantize_q8_0(std::span<const float> weights, std::uint8_t* out);
void quantize_q4_0(std::span<const float> weights, std::uint8_t* out);

// The tensor's weights in [begin, begin + count), widened to binary32 (quantised types: scale * weight, one
// rounding). begin and count are multiples of the type's block.
void widen(const TensorInfo& tensor, std::uint64_t begin, std::span<float> out);

struct QuantizeReport {
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;
  std::uint32_t tensors_quantized = 0;
  std::uint32_t tensors_copied = 0;
};

// Writes `out` from `in`; target is q8_0 or q4_0. Matrices are quantised when their columns are a multiple of
// 32, vectors are kept; with q4_0 the embedding and the output matrix become Q8_0. Already quantised tensors
// are refused.
Result<QuantizeReport> quantize_file(const std::string& in, const std::string& out, TensorType target,
                                     const Progress& progress = {});

}  // namespace cortensor::engine
