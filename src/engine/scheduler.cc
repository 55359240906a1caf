#include "engine/scheduler.h"

#include <algorithm>
#include <vector>

namespace cortensor::engine {

std::vector<std::size_t> share_rows(std::span<const std::size_t> pending, std::size_t budget) {
  std::vector<std::size_t> sorted(pending.begin(), pending.end());
  std::sort(sorted.begin(), sorted.end());

  // From the least thirsty on, each takes its equal part of what is left or, if that is less, all it can use.
  // The first one that cannot be satisfied marks the water level.
  std::size_t left = budget, level = sorted.empty() ? 0 : sorted.back();
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    const std::size_t part = left / (sorted.size() - i);
    if (sorted[i] > part) {
      level = part;
      break;
    }
    left -= sorted[i];
  }

  std::vector<std::size_t> rows(pending.size());
  left = budget;
  for (std::size_t i = 0; i < pending.size(); ++i) left -= rows[i] = std::min(pending[i], level);
  // What rounding left over, less than a row each, goes to the earliest.
  for (std::size_t i = 0; i < pending.size() && left > 0; ++i) {
    if (pending[i] <= rows[i]) continue;
    ++rows[i];
    --left;
  }
  return rows;
}

}  // namespace cortensor::engine
