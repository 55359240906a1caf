// How rows of the native types (A17) lie in a GGUF file: as tensors of type I8 whose contiguous dimension
// counts bytes, so that other tools can list and copy them, named like the tensor with the type behind it,
// ".s8" or ".s4", in a file that says cortensor.profile = "S512".   Spec: model-file.md
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "arith/blocks.h"

namespace cortensor::engine {

inline constexpr std::uint32_t kI8 = 24;  // the format's number for signed bytes
inline constexpr std::string_view kProfileKey = "cortensor.profile", kProfile = "S512";

// The type that a name in a file tells; none when it tells none.
std::optional<arith::WeightType> native_type(std::string_view name_in_file);
// The name without the type, and with it.
std::string_view native_name(std::string_view name_in_file);
std::string name_in_file(std::string_view name, arith::WeightType type);

// The columns of a row of so many bytes; none when no row has as many.
std::optional<std::uint64_t> native_columns(arith::WeightType type, std::uint64_t row_bytes);

}  // namespace cortensor::engine
