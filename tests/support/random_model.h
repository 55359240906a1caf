// Llama models with random weights, small or large, for tests and benchmarks: the same bytes for the same
// spec on every machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "engine/gguf_file.h"

namespace cortensor::test {

struct RandomModel {
  engine::TensorType type = engine::TensorType::f16;  // of the matrices
  std::size_t dim = 64;
  std::size_t layers = 2;
  std::size_t heads = 4;
  std::size_t kv_heads = 2;
  std::size_t head_dim = 16;
  std::size_t ffn_dim = 96;
  std::size_t vocab_size = 320;  // at least 261: all bytes and the control tokens; the rest are made-up words
  std::size_t context_length = 256;
  bool tied = true;           // the output matrix is the embedding
  bool rope_factors = false;  // with rope_freqs.weight, as Llama 3.1
  std::uint64_t seed = 1;
};

// The control tokens follow the 256 bytes.
inline constexpr std::uint32_t kBeginOfText = 256;
inline constexpr std::uint32_t kEndOfText = 257;
inline constexpr std::uint32_t kStartHeader = 258;
inline constexpr std::uint32_t kEndHeader = 259;
inline constexpr std::uint32_t kEndOfTurn = 260;

// A GGUF file at `path`.
Status write_random_model(const RandomModel& spec, const std::string& path);

}  // namespace cortensor::test
