// Which type each matrix of a quantised model has: the names under which files are made and known, one for
// all tools.   Spec: model-file.md, M3
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/gguf_file.h"

namespace cortensor::engine {

// What the choice depends on.
struct Outline {
  std::uint32_t layers = 0;
  std::uint32_t heads_per_key = 1;
  bool tied = false;  // the embedding is the output matrix too
};
Outline outline_of(const GgufFile& file);

// Layers that have the better of two types.
enum class Layers {
  none,
  all,
  first_two,
  first_four,
  first_sixteenth,
  first_eighth,
  spread,
  with_shared_keys
};
struct Better {
  Layers layers = Layers::none;
  TensorType there{}, elsewhere{};
};

struct Mixture {
  std::string_view name;
  TensorType type;          // of most matrices
  TensorType outer;         // of the output matrix
  std::uint32_t file_type;  // the format's general.file_type; none for the native profile
  bool mixed = false;       // for some matrices another type, and an embedding of its own has `type`
  Better attn_v{}, ffn_down{}, attn_output{};
};

// The native profile, then from the largest.
const std::vector<std::string>& mixture_names();
// In any case of letters; null for a name that is not there.
const Mixture* find_mixture(std::string_view name);

// Of a matrix with rows of `cols` elements.
TensorType type_in(const Mixture& mixture, const Outline& outline, std::string_view tensor,
                   std::uint64_t cols);

}  // namespace cortensor::engine
