// A JSON request body, read field by field. The first thing wrong is remembered with the field's name,
// everything after it yields nothing: a parser asks once, at its end. null counts as absent, as in the OpenAI
// API.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cortensor::router {

using Json = nlohmann::ordered_json;

// What went wrong with a request, and in which field (empty: none in particular).
struct ApiError {
  Error error;
  std::string param;
};

template <class T>
using Parsed = tl::expected<T, ApiError>;

inline tl::unexpected<ApiError> refused(Error error, std::string param = {}) {
  return tl::unexpected<ApiError>(ApiError{std::move(error), std::move(param)});
}

class BodyReader {
 public:
  // Fails at once when the body is not a JSON object in valid UTF-8, or has a key twice.
  explicit BodyReader(std::string_view body);
  BodyReader(Json object, std::string prefix);

  // nullptr when absent.
  const Json* field(const std::string& name) const;
  bool has(const std::string& name) const { return field(name) != nullptr; }

  std::optional<std::string> text(const std::string& name, std::size_t max_bytes);
  std::optional<bool> flag(const std::string& name);
  std::optional<std::int64_t> integer(const std::string& name, std::int64_t min, std::int64_t max);
  std::optional<double> number(const std::string& name, double min, double max);
  // One for which `fits` holds, which `range` says in words.
  std::optional<double> number(const std::string& name, std::string_view range, bool (*fits)(double));

  // Remembers the first complaint.
  void refuse(const std::string& name, std::string message, ErrorKind kind = ErrorKind::invalid_input);
  // What a reader of one of the fields complained about.
  void refuse(const ApiError& problem) {
    if (!problem_) problem_ = problem;
  }
  const std::optional<ApiError>& problem() const { return problem_; }

 private:
  Json object_;
  std::string prefix_;
  std::optional<ApiError> problem_;
};

}  // namespace cortensor::router
