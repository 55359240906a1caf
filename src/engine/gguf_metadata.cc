// Typed access to the metadata of a GGUF file.
#include <cmath>
#include <cstring>
#include <limits>

#include "engine/gguf_file.h"

namespace cortensor::engine {
namespace {

Result<const GgufValue*> value_of(const GgufFile& file, std::string_view key) {
  if (const GgufValue* value = file.find(key)) return value;
  return fail(ErrorKind::not_found, "metadata " + std::string(key) + ": not in the file");
}

Error wrong_type(std::string_view key, std::string_view wanted, const GgufValue& value) {
  std::string found(to_string(value.type));
  if (const auto* array = std::get_if<GgufArray>(&value.value))
    found += " of " + std::string(to_string(array->element));
  return fail(ErrorKind::corrupt,
              "metadata " + std::string(key) + ": expected " + std::string(wanted) + ", found " + found);
}

template <class Integer>
Result<Integer> integer(const GgufFile& file, std::string_view key, std::string_view wanted) {
  const auto value = value_of(file, key);
  if (!value) return value.error();
  if (const auto* number = std::get_if<std::uint64_t>(&(*value)->value))
    if (std::in_range<Integer>(*number)) return static_cast<Integer>(*number);
  if (const auto* number = std::get_if<std::int64_t>(&(*value)->value))
    if (std::in_range<Integer>(*number)) return static_cast<Integer>(*number);
  return wrong_type(key, wanted, **value);
}

template <class T>
T element_at(const GgufArray& array, std::uint64_t i) {
  T value;
  std::memcpy(&value, array.raw.data() + i * sizeof value, sizeof value);
  return value;
}

// An integer element, widened; false when the elements are no integers.
bool integer_at(const GgufArray& array, std::uint64_t i, std::int64_t& out) {
  switch (array.element) {
    case GgufType::u8:
      out = element_at<std::uint8_t>(array, i);
      return true;
    case GgufType::i8:
      out = element_at<std::int8_t>(array, i);
      return true;
    case GgufType::u16:
      out = element_at<std::uint16_t>(array, i);
      return true;
    case GgufType::i16:
      out = element_at<std::int16_t>(array, i);
      return true;
    case GgufType::u32:
      out = element_at<std::uint32_t>(array, i);
      return true;
    case GgufType::i32:
      out = element_at<std::int32_t>(array, i);
      return true;
    default:
      return false;
  }
}

}  // namespace

std::string_view to_string(GgufType type) {
  switch (type) {
    case GgufType::u8:
      return "u8";
    case GgufType::i8:
      return "i8";
    case GgufType::u16:
      return "u16";
    case GgufType::i16:
      return "i16";
    case GgufType::u32:
      return "u32";
    case GgufType::i32:
      return "i32";
    case GgufType::f32:
      return "f32";
    case GgufType::boolean:
      return "bool";
    case GgufType::string:
      return "string";
    case GgufType::array:
      return "array";
    case GgufType::u64:
      return "u64";
    case GgufType::i64:
      return "i64";
    case GgufType::f64:
      return "f64";
  }
  return "unknown";
}

Result<std::uint32_t> GgufFile::get_u32(std::string_view key) const {
  return integer<std::uint32_t>(*this, key, "an integer of 32 bits, not negative");
}

Result<std::uint64_t> GgufFile::get_u64(std::string_view key) const {
  return integer<std::uint64_t>(*this, key, "an integer, not negative");
}

Result<float> GgufFile::get_f32(std::string_view key) const {
  const auto value = value_of(*this, key);
  if (!value) return value.error();
  if (const auto* number = std::get_if<double>(&(*value)->value)) {
    const auto narrow = static_cast<float>(*number);
    if (std::isfinite(narrow)) return narrow;
    return fail(ErrorKind::corrupt, "metadata " + std::string(key) + ": expected a finite number");
  }
  return wrong_type(key, "a number", **value);
}

Result<bool> GgufFile::get_bool(std::string_view key) const {
  const auto value = value_of(*this, key);
  if (!value) return value.error();
  if (const auto* flag = std::get_if<bool>(&(*value)->value)) return *flag;
  return wrong_type(key, "a bool", **value);
}

Result<std::string_view> GgufFile::get_string(std::string_view key) const {
  const auto value = value_of(*this, key);
  if (!value) return value.error();
  if (const auto* text = std::get_if<std::string_view>(&(*value)->value)) return *text;
  return wrong_type(key, "a string", **value);
}

Result<std::span<const std::string_view>> GgufFile::get_strings(std::string_view key) const {
  const auto value = value_of(*this, key);
  if (!value) return value.error();
  const auto* array = std::get_if<GgufArray>(&(*value)->value);
  if (array == nullptr || array->element != GgufType::string)
    return wrong_type(key, "an array of string", **value);
  return std::span<const std::string_view>(array->strings);
}

Result<std::vector<std::int32_t>> GgufFile::get_i32s(std::string_view key) const {
  const auto value = value_of(*this, key);
  if (!value) return value.error();
  const auto* array = std::get_if<GgufArray>(&(*value)->value);
  std::vector<std::int32_t> numbers;
  for (std::uint64_t i = 0; array != nullptr && i < array->count; ++i) {
    std::int64_t number = 0;
    if (!integer_at(*array, i, number) || !std::in_range<std::int32_t>(number)) break;
    numbers.push_back(static_cast<std::int32_t>(number));
  }
  if (array == nullptr || numbers.size() != array->count) return wrong_type(key, "an array of i32", **value);
  return numbers;
}

Result<std::vector<float>> GgufFile::get_f32s(std::string_view key) const {
  const auto value = value_of(*this, key);
  if (!value) return value.error();
  const auto* array = std::get_if<GgufArray>(&(*value)->value);
  if (array == nullptr || array->element != GgufType::f32) return wrong_type(key, "an array of f32", **value);
  std::vector<float> numbers(array->count);
  if (array->count > 0) std::memcpy(numbers.data(), array->raw.data(), array->raw.size());
  return numbers;
}

}  // namespace cortensor::engine
