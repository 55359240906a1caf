// Making rows of the native types from regular weights. Nodes make such files independently and must get the
// same bytes, so everything here is binary64 with a written order.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>

#include "arith/segment.h"

namespace cortensor::arith {

// Spec: A17.8. Nearest integer, ties to even; |value| < 2^31.
inline int round_to_int(double value) {
  constexpr double kMagic = 0x1.8p52;
  return static_cast<int>((value + kMagic) - kMagic);
}

// A segment turned into the basis in which it is stored. Weights beyond its length are not touched.
struct TurnedSegment {
  std::size_t length;
  std::array<double, kSegment> weights;
  double largest;  // magnitude
};

// Spec: A17.8
inline TurnedSegment turn_segment(std::span<const float> x) {
  TurnedSegment out{x.size(), {}, 0.0};
  std::copy(x.begin(), x.end(), out.weights.begin());
  rotate_segment(std::span(out.weights).first(x.size()));
  for (std::size_t i = 0; i < x.size(); ++i) {
    out.weights[i] /= static_cast<double>(x.size());  // exact
    out.largest = std::max(out.largest, std::fabs(out.weights[i]));
  }
  return out;
}

// Spec: A17.8. largest / steps as binary32, or zero where it is too small to matter.
inline float segment_scale(double largest, int steps) {
  const auto scale = static_cast<float>(largest / steps);
  return scale < 0x1p-40f ? 0.0f : scale;
}

// Spec: A17.8
inline void encode_s8(const TurnedSegment& segment, float scale, std::uint8_t* out) {
  std::memcpy(out, &scale, 4);
  for (std::size_t i = 0; i < segment.length; ++i) {
    const int w = scale == 0.0f ? 0 : round_to_int(segment.weights[i] / static_cast<double>(scale));
    out[4 + i] = static_cast<std::uint8_t>(std::clamp(w, -127, 127));
  }
}

// The best code for 32 weights, in units of the segment's scale.
struct S4Choice {
  std::uint8_t code = 0;
  std::array<std::uint8_t, kBlock> nibbles{};
  double error = std::numeric_limits<double>::infinity();  // sum of squares
};

inline void try_s4_code(std::span<const double, kBlock> y, int factor, int shift, S4Choice& best) {
  const auto byte = static_cast<std::uint8_t>(factor | (shift & 15) << 4);
  if (!is_s4_code(byte)) return;
  const S4Code code = s4_code(byte);
  const double inverse = 1.0 / factor;
  S4Choice tried{byte, {}, 0.0};
  for (std::size_t i = 0; i < kBlock; ++i) {
    const int centred = std::clamp(round_to_int((y[i] - code.offset) * inverse), -8, 7);
    const double miss = code.factor * centred + code.offset - y[i];
    tried.nibbles[i] = static_cast<std::uint8_t>(centred + 8);
    tried.error += miss * miss;
  }
  if (tried.error < best.error) best = tried;
}

// Spec: A17.8. Factors around the one that just spans the weights and the one that spans them symmetrically;
// for each, the shifts around the one that centres the 16 values on them.
inline S4Choice choose_s4_code(std::span<const double, kBlock> y) {
  const auto [low, high] = std::minmax_element(y.begin(), y.end());
  const int span = round_to_int((*high - *low) / 15.0);
  const int symmetric = round_to_int(std::max(*low / -8.0, *high / 7.0));
  S4Choice best;
  for (int factor = 1; factor <= 15; ++factor) {
    const bool near_span = factor >= span - 2 && factor <= span + 1;
    const bool near_symmetric = factor >= symmetric - 1 && factor <= symmetric + 1;
    if (!near_span && !near_symmetric) continue;
    const int centre = std::clamp(round_to_int((*low + *high) / factor) + 1, -8, 7);
    for (int shift = std::max(centre - 1, -8); shift <= std::min(centre + 1, 7); ++shift)
      try_s4_code(y, factor, shift, best);
  }
  return best;
}

// Spec: A17.8. The best of three scales.
inline void encode_s4(const TurnedSegment& segment, std::uint8_t* out) {
  constexpr int kSteps[] = {124, 112, 100};
  const std::size_t blocks = segment.length / kBlock, bytes = segment_bytes(WeightType::s4, segment.length);
  std::memset(out, 0, bytes);
  double least = std::numeric_limits<double>::infinity();
  for (const int steps : kSteps) {
    const float scale = segment_scale(segment.largest, steps);
    if (scale == 0.0f) return;
    const auto unit = static_cast<double>(scale);
    std::array<S4Choice, kSegment / kBlock> choices;
    double error = 0.0;
    for (std::size_t b = 0; b < blocks; ++b) {
      std::array<double, kBlock> y;
      for (std::size_t i = 0; i < kBlock; ++i) y[i] = segment.weights[b * kBlock + i] / unit;
      choices[b] = choose_s4_code(y);
      error += choices[b].error;
    }
    error *= unit * unit;
    if (!(error < least)) continue;
    least = error;
    std::memcpy(out, &scale, 4);
    for (std::size_t b = 0; b < blocks; ++b) {
      out[4 + b] = choices[b].code;
      std::uint8_t* pairs = out + 4 + blocks + 16 * b;
      for (std::size_t i = 0; i < 16; ++i)
        pairs[i] = static_cast<std::uint8_t>(choices[b].nibbles[i] | choices[b].nibbles[i + 16] << 4);
    }
  }
}

// Spec: A17.8. One row of row_bytes(type, x.size()) bytes; false if a weight is not finite or a scale is
// beyond 2^40.
inline bool encode_segments(WeightType type, std::span<const float> x, std::uint8_t* out) {
  if (largest_magnitude_bits(x) >= kInfinityBits) return false;
  for (std::size_t at = 0; at < x.size();) {
    const std::size_t length = segment_length(x.size() - at);
    const TurnedSegment segment = turn_segment(x.subspan(at, length));
    if (segment.largest > 0x1p46) return false;
    type == WeightType::s8 ? encode_s8(segment, segment_scale(segment.largest, 127), out)
                           : encode_s4(segment, out);
    out += segment_bytes(type, length);
    at += length;
  }
  return true;
}

}  // namespace cortensor::arith
