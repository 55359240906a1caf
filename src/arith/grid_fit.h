// Integers, a scale and perhaps an offset that come close to some weights: the search behind A16.3 to A16.5.
// Everything here is binary64, each operation rounded once, sums in the order of the elements.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "arith/bits.h"

namespace cortensor::arith {

// Weights are near scale * q + offset, low <= q <= high.
struct Line {
  double scale = 0.0;
  double offset = 0.0;
};
struct Grid {
  int low, high;
};

// Spec: A16.3. The integer of the grid nearest to v, ties to even.
inline double on_grid(double v, Grid grid) {
  const double inside = std::clamp<double>(v, grid.low, grid.high);
  return (inside + 0x1.8p52) - 0x1.8p52;
}

inline constexpr int kGridTries = 4;  // to each side

// Spec: A16.3. A scale alone; the grid is -n .. n - 1.
inline Line fit_scale(std::span<const float> x, Grid grid) {
  double extreme = 0.0;
  for (const double v : x)
    if (std::fabs(v) > std::fabs(extreme)) extreme = v;
  Line best;
  double best_gain = 0.0;
  for (int k = -kGridTries; k <= kGridTries && extreme != 0.0; ++k) {
    const double inverse = (grid.low + 0.25 * k) / extreme;
    double xq = 0.0, qq = 0.0;
    for (const double v : x) {
      const double q = on_grid(v * inverse, grid);
      xq += v * q;
      qq += q * q;
    }
    const double scale = xq / qq, gain = xq * scale;
    if (gain > best_gain) best.scale = scale, best_gain = gain;
  }
  return best;
}

// Spec: A16.4. A scale and an offset, with `below` one that is not positive; the grid begins at 0.
inline Line fit_line(std::span<const float> x, Grid grid, bool below) {
  double low = below ? 0.0 : double{x[0]}, high = low, x_sum = 0.0;
  for (const double v : x) {
    low = std::min(low, v);
    high = std::max(high, v);
    x_sum += v;
  }
  Line best{0.0, low};
  if (low == high) return best;
  double best_error = 0.0;
  const auto n = static_cast<double>(x.size());
  for (int k = -kGridTries; k <= kGridTries; ++k) {
    const double inverse = (grid.high + 0.25 * k) / (high - low);
    double q_sum = 0.0, xq = 0.0, qq = 0.0;
    for (const double v : x) {
      const double q = on_grid((v - low) * inverse, grid);
      q_sum += q;
      xq += v * q;
      qq += q * q;
    }
    const double spread = n * qq - q_sum * q_sum;
    Line line;
    if (spread > 0.0) line.scale = (n * xq - x_sum * q_sum) / spread;
    line.offset = (x_sum - line.scale * q_sum) / n;
    if (below && line.offset > 0.0) line = {xq / qq, 0.0};
    // The sum of squared errors less that of the weights.
    const double error = line.scale * (line.scale * qq + 2.0 * line.offset * q_sum - 2.0 * xq) +
                         line.offset * (n * line.offset - 2.0 * x_sum);
    if (error < best_error) best = line, best_error = error;
  }
  return best;
}

// Up to 32 integers with the small factors of the block's scale and offset.
struct Settled {
  int scale = 0, offset = 0;
  double error = 0.0;
  std::int8_t q[32] = {};
};

// Spec: A16.5. The integers for steps of scale * d and an offset of offset * e.
inline Settled settle(std::span<const float> x, double d, double e, Grid grid, int scale, int offset) {
  Settled out{scale, offset};
  const double step = d * scale, start = e * offset;
  const double inverse = step == 0.0 ? 0.0 : 1.0 / step;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double q = on_grid((double{x[i]} - start) * inverse, grid);
    const double miss = double{x[i]} - (step * q + start);
    out.error += miss * miss;
    out.q[i] = static_cast<std::int8_t>(q);
  }
  return out;
}

// Spec: A16.5. The best of the factors nearest to the line's and their neighbours.
inline Settled settle_near(std::span<const float> x, const Line& line, double d, double e, Grid grid,
                           Grid scales, Grid offsets) {
  const auto factor = [](double value, double unit, Grid limits) {
    return unit == 0.0 ? 0 : static_cast<int>(on_grid(value / unit, limits));
  };
  const int scale = factor(line.scale, d, scales), offset = factor(line.offset, e, offsets);
  Settled best = settle(x, d, e, grid, scale, offset);
  for (int s = std::max(scale - 1, scales.low); s <= std::min(scale + 1, scales.high); ++s) {
    for (int o = std::max(offset - 1, offsets.low); o <= std::min(offset + 1, offsets.high); ++o) {
      const Settled other = settle(x, d, e, grid, s, o);
      if (other.error < best.error) best = other;
    }
  }
  return best;
}

}  // namespace cortensor::arith
