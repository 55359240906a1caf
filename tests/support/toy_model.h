// A served model without weights, for tests of the roles: bytes as tokens, and Llama 3's control tokens.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "router/core/catalogue.h"

namespace cortensor::router {

inline constexpr std::uint32_t kContext = 256;

std::unique_ptr<ServedModel> make_model(const std::string& id = "tiny:q8_0", std::uint8_t weights = 1);

}  // namespace cortensor::router
