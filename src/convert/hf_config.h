// config.json of a Hugging Face folder: the shape of a Llama, refused when it is a variant we do not compute.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/gguf_writer.h"

namespace cortensor::convert {

// Llama 3.1's rule for contexts longer than it was trained on at first.
struct RopeScaling {
  double factor = 1, low_frequency_factor = 1, high_frequency_factor = 4;
  double original_context = 8192;
};

struct HfConfig {
  std::uint32_t vocab_size = 0, context_length = 0, dim = 0, layers = 0, ffn_dim = 0, heads = 0, kv_heads = 0,
                head_dim = 0;
  double rms_epsilon = 0, rope_base = 10000;
  bool tied = false;  // no output matrix: the embedding is used again
  std::optional<RopeScaling> rope_scaling;
  std::optional<std::uint32_t> bos, eos;  // used where the tokenizer's files name none

  // The divisor of each pair's frequency, for rope_freqs.weight; empty without scaling.
  std::vector<float> rope_factors() const;
  void add_to(engine::GgufWriter& writer) const;
};

Result<HfConfig> read_hf_config(const std::string& folder);

}  // namespace cortensor::convert
