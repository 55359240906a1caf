// The shape of a Llama model, read from a file's metadata. Every value is checked against a stated limit, so
// that later sizes can be computed without overflow.
#pragma once

#include <cstddef>
#include <string>

#include "base/result.h"

namespace cortensor::engine {

class GgufFile;

struct LlamaConfig {
  std::string name;  // general.name; may be empty
  std::size_t context_length = 0;
  std::size_t dim = 0;  // of the residual stream
  std::size_t layers = 0;
  std::size_t heads = 0;     // query heads
  std::size_t kv_heads = 0;  // divides heads
  std::size_t head_dim = 0;  // a multiple of 8
  std::size_t ffn_dim = 0;
  std::size_t vocab_size = 0;  // rows of the embedding
  float rms_epsilon = 0.0f;
  float rope_base = 0.0f;
};

inline constexpr std::size_t kMaxContext = std::size_t{1} << 20;
inline constexpr std::size_t kMaxDim = std::size_t{1} << 16;
inline constexpr std::size_t kMaxFfnDim = std::size_t{1} << 18;
inline constexpr std::size_t kMaxLayers = 256;
inline constexpr std::size_t kMaxHeads = 512;
inline constexpr std::size_t kMaxHeadDim = 256;
inline constexpr std::size_t kMaxVocab = std::size_t{1} << 20;

// unsupported: not a Llama, or a variant we do not compute; corrupt: values that contradict each other.
Result<LlamaConfig> read_config(const GgufFile& file);

}  // namespace cortensor::engine
