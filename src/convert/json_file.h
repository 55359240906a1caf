// A JSON file of a Hugging Face folder, and its fields by type: what is missing or of another type is an
// error that names file and field.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cortensor::convert {

// not_found when there is no such file.
Result<nlohmann::json> read_json_object(const std::string& path);

// Absent and null are the same. `where` begins the error's text.
Result<std::optional<std::uint64_t>> find_number(const nlohmann::json& object, std::string_view key,
                                                 std::string_view where);
Result<std::optional<double>> find_real(const nlohmann::json& object, std::string_view key,
                                        std::string_view where);
Result<std::optional<bool>> find_flag(const nlohmann::json& object, std::string_view key,
                                      std::string_view where);
Result<std::optional<std::string>> find_text(const nlohmann::json& object, std::string_view key,
                                             std::string_view where);

}  // namespace cortensor::convert
