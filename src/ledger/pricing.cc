#include "ledger/pricing.h"

#include <limits>

#include "base/check.h"

namespace cortensor::ledger {
namespace {

constexpr std::int64_t kTokensPerPrice = 1'000'000;

// ceil(tokens * price / 10^6): 64 x 63 bits fit 128.
Result<Credits> cost(std::uint64_t tokens, Credits price) {
  if (price.micro < 0)
    return fail(ErrorKind::invalid_input, "price: expected 0 or more, found " + to_string(price));
  const auto product = static_cast<unsigned __int128>(tokens) * static_cast<std::uint64_t>(price.micro);
  const unsigned __int128 rounded = (product + kTokensPerPrice - 1) / kTokensPerPrice;
  if (rounded > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
    return fail(ErrorKind::invalid_input, "cost does not fit 64 bits");
  return Credits{static_cast<std::int64_t>(rounded)};
}

}  // namespace

Result<Credits> base_cost(Price price, Usage usage) {
  const auto prompt = cost(usage.prompt_tokens, price.prompt);
  if (!prompt) return prompt.error();
  const auto completion = cost(usage.completion_tokens, price.completion);
  if (!completion) return completion.error();
  return add(*prompt, *completion);
}

Credits validation_surcharge(Credits base) {
  CORTENSOR_CHECK(base.micro >= 0);
  return {base.micro / 4 + (base.micro % 4 != 0)};
}

Credits router_fee(Credits base) {
  CORTENSOR_CHECK(base.micro >= 0);
  return {base.micro / 20};
}

Result<Charge> charge(Price price, Usage usage, Shares shares) {
  const auto base = base_cost(price, usage);
  if (!base) return base.error();
  const Credits fee = router_fee(*base);
  Charge result{
      .each_miner = *base - fee, .each_validator = validation_surcharge(*base), .router = {}, .total = {}};
  const auto answers = multiply(*base, shares.miners);
  if (!answers) return answers.error();
  const auto verdicts = multiply(result.each_validator, shares.verdicts);
  if (!verdicts) return verdicts.error();
  const auto total = add(*answers, *verdicts);
  if (!total) return total.error();
  result.router = *multiply(fee, shares.miners);  // a part of `answers`, which fits
  result.total = *total;
  return result;
}

}  // namespace cortensor::ledger
