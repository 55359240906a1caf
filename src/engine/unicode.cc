#include "engine/unicode.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <span>

#include "engine/unicode_tables.h"

namespace cortensor::engine {
namespace {

bool contains(std::span<const CodeRange> ranges, std::uint32_t code) {
  const auto after =
      std::upper_bound(ranges.begin(), ranges.end(), code,
                       [](std::uint32_t value, const CodeRange& range) { return value < range.first; });
  return after != ranges.begin() && code <= std::prev(after)->last;
}

// The property White_Space.
constexpr bool is_space(std::uint32_t code) {
  return (code >= 0x09 && code <= 0x0d) || code == 0x20 || code == 0x85 || code == 0xa0 || code == 0x1680 ||
         (code >= 0x2000 && code <= 0x200a) || code == 0x2028 || code == 0x2029 || code == 0x202f ||
         code == 0x205f || code == 0x3000;
}

constexpr auto kAsciiClasses = [] {
  std::array<CodeClass, 128> classes{};
  for (std::uint32_t code = 0; code < 128; ++code) {
    const std::uint32_t lower = code | 0x20;
    if (lower >= 'a' && lower <= 'z') classes[code] = CodeClass::letter;
    if (code >= '0' && code <= '9') classes[code] = CodeClass::number;
    if (is_space(code)) classes[code] = CodeClass::space;
  }
  return classes;
}();

}  // namespace

Utf8Sequence utf8_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[at + i]); };
  const std::uint8_t lead = byte(0);
  if (lead < 0x80) return {Utf8Kind::whole, 1, lead};
  if (lead < 0xc2 || lead > 0xf4) return {Utf8Kind::broken, 1, 0};
  const std::uint8_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  // The second byte's range excludes overlong forms, surrogates and codes that are too large.
  const std::uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  const std::uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  std::uint32_t code = lead & (0x7fu >> length);
  for (std::uint8_t i = 1; i < length; ++i) {
    if (at + i == text.size()) return {Utf8Kind::incomplete, i, 0};
    if (byte(i) < (i == 1 ? low : 0x80) || byte(i) > (i == 1 ? high : 0xbf)) return {Utf8Kind::broken, i, 0};
    code = code << 6 | (byte(i) & 0x3fu);
  }
  return {Utf8Kind::whole, length, code};
}

CodeClass class_of(std::uint32_t code) {
  if (code < kAsciiClasses.size()) return kAsciiClasses[code];
  if (is_space(code)) return CodeClass::space;
  if (contains(kLetterRanges, code)) return CodeClass::letter;
  if (contains(kNumberRanges, code)) return CodeClass::number;
  return CodeClass::other;
}

}  // namespace cortensor::engine
