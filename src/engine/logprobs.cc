#include "engine/logprobs.h"

#include <algorithm>
#include <numeric>

#include "arith/sampling.h"
#include "engine/exp_row.h"

namespace cortensor::engine {

Logprobs LogprobReader::read(std::span<const float> logits, TokenId chosen, std::uint32_t top) {
  const float largest = *std::max_element(logits.begin(), logits.end());
  row_.resize(logits.size());
  for (std::size_t i = 0; i < logits.size(); ++i) row_[i] = logits[i] - largest;
  exp_of_quotients(row_, 1.0f);
  double sum = 0.0;
  for (const float weight : row_) sum = sum + static_cast<double>(weight);

  const auto of = [&](TokenId token) { return arith::log_probability(logits[token], largest, sum); };
  Logprobs out{of(chosen), {}};
  const std::size_t count = std::min<std::size_t>(top, logits.size());
  if (count == 0) return out;
  ids_.resize(logits.size());
  std::iota(ids_.begin(), ids_.end(), TokenId{0});
  std::partial_sort(
      ids_.begin(), ids_.begin() + static_cast<std::ptrdiff_t>(count), ids_.end(),
      [&](TokenId a, TokenId b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });
  for (std::size_t i = 0; i < count; ++i) out.top.push_back({ids_[i], of(ids_[i])});
  return out;
}

}  // namespace cortensor::engine
