// Money in integer micro-credits. Nothing here rounds.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/result.h"

namespace cortensor {

inline constexpr std::int64_t kMicroPerCredit = 1'000'000;

// 1 credit = 1,000,000 micro-credits. + and - are for amounts known to fit (a wrap is a bug of ours and
// aborts); amounts that come from outside go through add(), which reports.
struct Credits {
  std::int64_t micro = 0;

  friend auto operator<=>(const Credits&, const Credits&) = default;
  friend Credits operator+(Credits a, Credits b) {
    Credits sum;
    CORTENSOR_CHECK(!__builtin_add_overflow(a.micro, b.micro, &sum.micro));
    return sum;
  }
  friend Credits operator-(Credits a, Credits b) {
    Credits difference;
    CORTENSOR_CHECK(!__builtin_sub_overflow(a.micro, b.micro, &difference.micro));
    return difference;
  }
  Credits operator-() const { return Credits{} - *this; }
  Credits& operator+=(Credits other) { return *this = *this + other; }
  Credits& operator-=(Credits other) { return *this = *this - other; }
};

// a + b, a * n; invalid_input when the result does not fit.
Result<Credits> add(Credits a, Credits b);
Result<Credits> multiply(Credits a, std::uint32_t n);

// All digits, always six decimals: "1.250000", "-0.000001".
std::string to_string(Credits amount);
// "12", "0.5", "1.250000"; at most six decimals, an optional leading minus, no spaces, no exponent.
Result<Credits> parse_credits(std::string_view text);

}  // namespace cortensor
