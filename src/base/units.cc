#include "base/units.h"

#include <limits>

namespace cortensor {
namespace {

Error out_of_range() {
  return fail(ErrorKind::invalid_input, "amount does not fit 64 bits");
}

}  // namespace

Result<Credits> add(Credits a, Credits b) {
  Credits sum;
  if (__builtin_add_overflow(a.micro, b.micro, &sum.micro)) return out_of_range();
  return sum;
}

Result<Credits> multiply(Credits a, std::uint32_t n) {
  Credits product;
  if (__builtin_mul_overflow(a.micro, std::int64_t{n}, &product.micro)) return out_of_range();
  return product;
}

std::string to_string(Credits amount) {
  // The magnitude as unsigned, because the least int64 has no positive twin.
  const bool negative = amount.micro < 0;
  const std::uint64_t bits = static_cast<std::uint64_t>(amount.micro);
  const std::uint64_t magnitude = negative ? 0 - bits : bits;
  std::string fraction = std::to_string(magnitude % kMicroPerCredit);
  fraction.insert(0, 6 - fraction.size(), '0');
  return (negative ? "-" : "") + std::to_string(magnitude / kMicroPerCredit) + "." + fraction;
}

Result<Credits> parse_credits(std::string_view text) {
  const Error malformed = fail(ErrorKind::invalid_input,
                               "expected an amount of credits such as 12 or 1.25, at most six decimals");
  std::size_t at = 0;
  const bool negative = text.starts_with('-');
  if (negative) ++at;
  constexpr std::uint64_t kLimit = std::uint64_t{1} << 63;
  std::uint64_t magnitude = 0;
  std::size_t digits = 0, decimals = 0;
  bool point = false;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '.' && !point && digits > 0) {
      point = true;
      continue;
    }
    if (c < '0' || c > '9' || decimals == 6) return malformed;
    ++(point ? decimals : digits);
    if (magnitude > kLimit / 10) return out_of_range();
    magnitude = magnitude * 10 + static_cast<std::uint64_t>(c - '0');
  }
  if (digits == 0 || (point && decimals == 0)) return malformed;
  for (; decimals < 6; ++decimals) {
    if (magnitude > kLimit / 10) return out_of_range();
    magnitude *= 10;
  }
  if (magnitude > kLimit - (negative ? 0 : 1)) return out_of_range();
  return Credits{static_cast<std::int64_t>(negative ? 0 - magnitude : magnitude)};
}

}  // namespace cortensor
