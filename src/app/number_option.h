// What numbers on the command line must look like. The option parser's own conversion saturates, wraps, reads
// a leading zero as octal and takes "nan"; these read the text first, say the range, and hand on plain
// decimals. Use with Option::transform().
#pragma once

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdint>
#include <string>

#include "base/units.h"

namespace cortensor::app {

// A whole number from least to most.
inline CLI::Validator whole(std::uint64_t least, std::uint64_t most) {
  const std::string range = std::to_string(least) + " to " + std::to_string(most);
  const auto read = [least, most, range](std::string& text) -> std::string {
    std::uint64_t value = 0;
    const char* end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data(), end, value);
    if (parsed.ec != std::errc{} || parsed.ptr != end || value < least || value > most)
      return "expected a whole number from " + range + ", found '" + text + "'";
    text = std::to_string(value);
    return {};
  };
  return CLI::Validator(read, range);
}

// A decimal number for which `fits` holds, which `range` says in words. NaN and infinity fit nowhere.
inline CLI::Validator decimal(const std::string& range, bool (*fits)(double)) {
  const auto read = [range, fits](std::string& text) -> std::string {
    double value = 0;
    const char* end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data(), end, value);
    if (parsed.ec != std::errc{} || parsed.ptr != end || !(value - value == 0) || !fits(value))
      return "expected a number " + range + ", found '" + text + "'";
    return {};
  };
  return CLI::Validator(read, range);
}

// An amount of credits, at least so many millionths.
inline CLI::Validator credit_amount(std::int64_t least_micro) {
  const auto read = [least_micro](std::string& text) -> std::string {
    const auto amount = parse_credits(text);
    if (!amount) return amount.error().message + ", found '" + text + "'";
    if (amount->micro < least_micro)
      return "expected at least " + to_string(Credits{least_micro}) + " credits, found '" + text + "'";
    return {};
  };
  return CLI::Validator(read, "CREDITS");
}

inline CLI::Validator temperature() {
  return decimal("from 0 to 2", [](double x) { return x >= 0 && x <= 2; });
}
inline CLI::Validator penalty() {
  return decimal("from -2 to 2", [](double x) { return x >= -2 && x <= 2; });
}
inline CLI::Validator thread_count() {
  return whole(0, 1024);
}

}  // namespace cortensor::app
