// A router's answers as JSON. Inside the client only.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>
#include <utility>

#include "base/result.h"

namespace cortensor::client {

using Json = nlohmann::json;

// What an answer with such a status says is wrong.
Error error_of(int status, const std::string& body);

// Fields of a router's answer; what is missing or of another type reads as nothing.
template <class T>
T field(const Json& json, const char* name, T otherwise = {}) {
  if (!json.is_object()) return otherwise;
  const auto at = json.find(name);
  if (at == json.end()) return otherwise;
  if constexpr (std::is_same_v<T, std::string>)
    return at->is_string() ? at->get<std::string>() : otherwise;
  else if constexpr (std::is_floating_point_v<T>)
    return at->is_number() ? at->get<T>() : otherwise;
  else if (at->is_number_unsigned() && !std::in_range<T>(at->get<std::uint64_t>()))
    return otherwise;
  else
    return at->is_number_integer() && std::in_range<T>(at->get<std::int64_t>()) ? at->get<T>() : otherwise;
}

// What a terminal handed us may not be UTF-8.
template <class AnyJson>
std::string text_of(const AnyJson& body) {
  return body.dump(-1, ' ', false, AnyJson::error_handler_t::replace);
}

Result<Json> parse(const Result<std::string>& body);
// An object with an array `data`.
Result<Json> list_from(const Result<std::string>& body);

}  // namespace cortensor::client
