#include "engine/native_tensor.h"

namespace cortensor::engine {

using arith::WeightType;

namespace {
constexpr std::string_view kS8 = ".s8", kS4 = ".s4";
}

std::optional<WeightType> native_type(std::string_view name_in_file) {
  if (name_in_file.ends_with(kS8)) return WeightType::s8;
  if (name_in_file.ends_with(kS4)) return WeightType::s4;
  return std::nullopt;
}

std::string_view native_name(std::string_view name_in_file) {
  return name_in_file.substr(0, name_in_file.size() - kS8.size());
}

std::string name_in_file(std::string_view name, WeightType type) {
  return std::string(name) + std::string(type == WeightType::s8 ? kS8 : kS4);
}

std::optional<std::uint64_t> native_columns(WeightType type, std::uint64_t row_bytes) {
  // A row's end of less than a segment takes fewer bytes than a segment.
  const std::uint64_t segment = arith::row_bytes(type, arith::kSegment);
  const std::uint64_t whole = row_bytes / segment * arith::kSegment;
  for (std::uint64_t rest = 0; rest < arith::kSegment; rest += arith::kBlock)
    if (arith::row_bytes(type, rest) == row_bytes % segment && whole + rest > 0) return whole + rest;
  return std::nullopt;
}

}  // namespace cortensor::engine
