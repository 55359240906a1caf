#include "router/api/body_reader.h"

#include <cmath>

#include "protocol/json_keys.h"

namespace cortensor::router {
namespace {

std::string plain(double value) {
  return value == std::floor(value) && std::abs(value) < 1e15
             ? std::to_string(static_cast<std::int64_t>(value))
             : std::to_string(value);
}

}  // namespace

BodyReader::BodyReader(std::string_view body) : object_(Json::parse(body, nullptr, false)) {
  if (object_.is_discarded())
    problem_ = ApiError{fail(ErrorKind::invalid_input, "the body is not valid JSON in UTF-8"), {}};
  else if (!object_.is_object())
    problem_ = ApiError{fail(ErrorKind::invalid_input, "the body: expected a JSON object"), {}};
  else if (const auto twice = protocol::duplicate_key(body))
    refuse(*twice, "is there twice");
}

BodyReader::BodyReader(Json object, std::string prefix)
    : object_(std::move(object)), prefix_(std::move(prefix)) {
  if (!object_.is_object()) {
    problem_ = ApiError{fail(ErrorKind::invalid_input, prefix_ + ": expected an object"), prefix_};
    object_ = Json::object();
  }
}

const Json* BodyReader::field(const std::string& name) const {
  if (problem_ || !object_.is_object()) return nullptr;
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

std::optional<std::string> BodyReader::text(const std::string& name, std::size_t max_bytes) {
  const Json* value = field(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) {
    refuse(name, "expected a string");
    return std::nullopt;
  }
  auto text = value->get<std::string>();
  if (text.size() > max_bytes) {
    refuse(name,
           "expected at most " + std::to_string(max_bytes) + " bytes, found " + std::to_string(text.size()));
    return std::nullopt;
  }
  return text;
}

std::optional<bool> BodyReader::flag(const std::string& name) {
  const Json* value = field(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) {
    refuse(name, "expected true or false");
    return std::nullopt;
  }
  return value->get<bool>();
}

std::optional<std::int64_t> BodyReader::integer(const std::string& name, std::int64_t min, std::int64_t max) {
  const Json* value = field(name);
  if (value == nullptr) return std::nullopt;
  const bool whole = value->is_number_integer() ||
                     (value->is_number_float() && std::floor(value->get<double>()) == value->get<double>());
  // A double is compared first, so that no value outside the type's range is converted.
  const double rough = whole ? value->get<double>() : 0;
  if (!whole || rough < static_cast<double>(min) || rough > static_cast<double>(max)) {
    refuse(name, "expected an integer from " + std::to_string(min) + " to " + std::to_string(max));
    return std::nullopt;
  }
  if (value->is_number_float()) return static_cast<std::int64_t>(rough);
  const auto exact = value->get<std::int64_t>();
  if (exact < min || exact > max) {
    refuse(name, "expected an integer from " + std::to_string(min) + " to " + std::to_string(max));
    return std::nullopt;
  }
  return exact;
}

std::optional<double> BodyReader::number(const std::string& name, double min, double max) {
  const Json* value = field(name);
  if (value == nullptr) return std::nullopt;
  const double number = value->is_number() ? value->get<double>() : std::nan("");
  if (!(number >= min && number <= max)) {
    refuse(name, "expected a number from " + plain(min) + " to " + plain(max));
    return std::nullopt;
  }
  return number;
}

std::optional<double> BodyReader::number(const std::string& name, std::string_view range,
                                         bool (*fits)(double)) {
  const Json* value = field(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_number() && fits(value->get<double>())) return value->get<double>();
  refuse(name, "expected a number " + std::string(range));
  return std::nullopt;
}

void BodyReader::refuse(const std::string& name, std::string message, ErrorKind kind) {
  if (problem_) return;
  std::string param = prefix_.empty() ? name : prefix_ + "." + name;
  message = param + ": " + message;
  problem_ = ApiError{fail(kind, std::move(message)), std::move(param)};
}

}  // namespace cortensor::router
