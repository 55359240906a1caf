#include "base/hex.h"

#include <algorithm>

namespace cortensor {
namespace {

int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

std::string to_hex(ByteView bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const std::uint8_t byte : bytes) {
    out += digits[byte >> 4];
    out += digits[byte & 15];
  }
  return out;
}

Result<Bytes> from_hex(std::string_view text) {
  if (text.size() % 2 != 0)
    return fail(ErrorKind::invalid_input,
                "expected an even number of hexadecimal digits, found " + std::to_string(text.size()));
  Bytes out(text.size() / 2);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const int high = digit_of(text[2 * i]), low = digit_of(text[2 * i + 1]);
    if (high < 0 || low < 0)
      return fail(ErrorKind::invalid_input,
                  "expected a digit 0-9a-f at position " + std::to_string(2 * i + (high < 0 ? 0 : 1)));
    out[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  return out;
}

Result<Bytes32> bytes32_from_hex(std::string_view text) {
  Bytes32 out{};
  if (text.size() != 2 * out.size())
    return fail(ErrorKind::invalid_input, "expected " + std::to_string(2 * out.size()) +
                                              " hexadecimal digits, found " + std::to_string(text.size()) +
                                              " characters");
  const auto bytes = from_hex(text);
  if (!bytes) return bytes.error();
  std::copy(bytes->begin(), bytes->end(), out.begin());
  return out;
}

}  // namespace cortensor
