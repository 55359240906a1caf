#include "convert/json_file.h"

#include <nlohmann/json.hpp>

#include "base/mapped_file.h"

namespace cortensor::convert {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxBytes = 256 << 20;

template <class T, class Is>
Result<std::optional<T>> find(const json& object, std::string_view key, std::string_view where,
                              std::string_view wanted, Is is) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return std::optional<T>();
  if (is(*found)) return std::optional<T>(found->template get<T>());
  return fail(ErrorKind::corrupt,
              std::string(where) + ": " + std::string(key) + ": expected " + std::string(wanted));
}

}  // namespace

Result<json> read_json_object(const std::string& path) {
  const auto file = MappedFile::open(path);
  if (!file) return file.error();
  if (file->bytes().size() > kMaxBytes)
    return fail(ErrorKind::unsupported, path + ": expected at most 256 MiB of JSON");
  json parsed = json::parse(text_of(file->bytes()), nullptr, false);
  if (!parsed.is_object()) return fail(ErrorKind::corrupt, path + ": expected a JSON object");
  return parsed;
}

Result<std::optional<std::uint64_t>> find_number(const json& object, std::string_view key,
                                                 std::string_view where) {
  return find<std::uint64_t>(object, key, where, "a whole number",
                             [](const json& value) { return value.is_number_unsigned(); });
}

Result<std::optional<double>> find_real(const json& object, std::string_view key, std::string_view where) {
  return find<double>(object, key, where, "a number", [](const json& value) { return value.is_number(); });
}

Result<std::optional<bool>> find_flag(const json& object, std::string_view key, std::string_view where) {
  return find<bool>(object, key, where, "true or false",
                    [](const json& value) { return value.is_boolean(); });
}

Result<std::optional<std::string>> find_text(const json& object, std::string_view key,
                                             std::string_view where) {
  return find<std::string>(object, key, where, "a text", [](const json& value) { return value.is_string(); });
}

}  // namespace cortensor::convert
