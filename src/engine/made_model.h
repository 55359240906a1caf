// A model of a well-known shape with meaningless weights, for measuring speed: as large as the real one, made
// in seconds, the same bytes everywhere. The vocabulary is made up as well, but of the real size and form, so
// that other programs load the file too.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "engine/gguf_file.h"
#include "engine/output_file.h"

namespace cortensor::engine {

struct ModelShape {
  std::string_view name;
  std::uint32_t dim, layers, heads, kv_heads, head_dim, ffn_dim, context_length;
  bool tied;
};

std::span<const ModelShape> known_shapes();

// `type` is a mixture's name (mixture.h).
Result<std::uint64_t> made_model_size(const ModelShape& shape, std::string_view type);  // bytes of the file
Status write_made_model(const ModelShape& shape, std::string_view type, OutputFile file,
                        const Progress& progress = {});

}  // namespace cortensor::engine
