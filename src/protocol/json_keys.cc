#include "protocol/json_keys.h"

#include <nlohmann/json.hpp>
#include <unordered_set>
#include <vector>

namespace cortensor::protocol {
namespace {

using Json = nlohmann::json;

// Looks at keys alone; false ends the reading.
class KeyWatch final : public nlohmann::json_sax<Json> {
 public:
  std::optional<std::string> twice;

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_array(std::size_t) override { return true; }
  bool end_array() override { return true; }
  bool start_object(std::size_t) override {
    open_.emplace_back();
    return true;
  }
  bool end_object() override {
    open_.pop_back();
    return true;
  }
  bool key(string_t& key) override {
    if (open_.back().insert(key).second) return true;
    twice = key;
    return false;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

 private:
  std::vector<std::unordered_set<std::string>> open_;  // the keys so far of the objects around
};

}  // namespace

std::optional<std::string> duplicate_key(std::string_view json) {
  KeyWatch watch;
  Json::sax_parse(json, &watch);
  return watch.twice;
}

}  // namespace cortensor::protocol
