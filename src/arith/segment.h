// The native profile S512: weights and activations as int8 with one scale per segment of 512 elements, in a
// basis that is rotated inside each segment. The rotation spreads outliers over the segment, so that one
// scale is as good as the sixteen of a block format, and the integer sums run over 512 elements instead
// of 32.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "arith/bits.h"
#include "arith/blocks.h"
#include "arith/quantiser.h"
#include "arith/segment_signs.h"

namespace cortensor::arith {

// Spec: A17.1. The segment that begins where `left` elements of a row are left, a multiple of 32: 512
// elements, or at the end of a row the largest power of two that fits.
constexpr std::size_t segment_length(std::size_t left) {
  return std::min(kSegment, std::bit_floor(left));
}

// Spec: A17.2. The stages of the Hadamard transform without a factor; v.size() is a power of two. Exact for
// integers; a stage of floating numbers rounds each sum once.
template <class Number>
void hadamard(std::span<Number> v) {
  for (std::size_t h = 1; h < v.size(); h *= 2) {
    for (std::size_t i = 0; i < v.size(); ++i) {
      if ((i & h) != 0) continue;
      const Number a = v[i], b = v[i + h];
      v[i] = a + b;
      v[i + h] = a - b;
    }
  }
}

// Spec: A17.2. What a segment of activations becomes before it is quantised.
template <class Number>
void rotate_segment(std::span<Number> v) {
  for (std::size_t i = 0; i < v.size(); ++i)
    if (changes_sign(i)) v[i] = -v[i];
  hadamard(v);
}

// Spec: A17.4. What a code byte says of 32 nibbles: weight = factor * (nibble - 8) + offset.
struct S4Code {
  int factor;
  int offset;
};
constexpr S4Code s4_code(std::uint8_t byte) {
  const int factor = byte & 15, shift = static_cast<std::int8_t>(byte) >> 4;
  return {factor, (factor * shift + 1) >> 1};
}
// Spec: A17.4. Whether all 16 weights of a code are in -127 .. 127.
constexpr bool is_s4_code(std::uint8_t byte) {
  const S4Code code = s4_code(byte);
  return code.offset - 8 * code.factor >= -127 && code.offset + 7 * code.factor <= 127;
}

// A segment of a row of weights, unpacked.
struct WeightSegment {
  std::size_t length;
  float scale;
  std::array<std::int8_t, kSegment> weights;  // [length]
};

constexpr std::size_t segment_bytes(WeightType type, std::size_t length) {
  return type == WeightType::s8 ? 4 + length : 4 + length / kBlock + length / 2;
}

// Spec: A17.3, A17.4. Reads the segment at `bytes`.
inline WeightSegment read_segment(WeightType type, const std::uint8_t* bytes, std::size_t length) {
  WeightSegment segment{length, read_at<float>(bytes, 0), {}};
  bytes += 4;
  if (type == WeightType::s8) {
    std::memcpy(segment.weights.data(), bytes, length);
    return segment;
  }
  const std::uint8_t* nibbles = bytes + length / kBlock;
  for (std::size_t i = 0; i < length; ++i) {
    const S4Code code = s4_code(bytes[i / kBlock]);
    const std::uint8_t pair = nibbles[i / kBlock * 16 + i % 16];
    const int nibble = i % kBlock < 16 ? pair & 15 : pair >> 4;
    segment.weights[i] = static_cast<std::int8_t>(code.factor * (nibble - 8) + code.offset);
  }
  return segment;
}

// Calls f(segment, offset in the row) for the segments of a row.
template <class F>
void for_each_segment(WeightType type, const std::uint8_t* row, std::size_t cols, F f) {
  for (std::size_t at = 0; at < cols;) {
    const std::size_t length = segment_length(cols - at);
    f(read_segment(type, row, length), at);
    row += segment_bytes(type, length);
    at += length;
  }
}

// Spec: A17.3, A17.4. Scales are zero or have a magnitude from 2^-40 to 2^40, S8 weights are not -128, S4
// codes are good: other files are refused.
inline bool segments_are_good(WeightType type, const std::uint8_t* row, std::size_t cols) {
  bool good = true;
  for (std::size_t at = 0; at < cols;) {
    const std::size_t length = segment_length(cols - at);
    const float magnitude = std::fabs(read_at<float>(row, 0));
    const std::uint8_t* codes = row + 4;
    good &= magnitude == 0.0f || (magnitude >= 0x1p-40f && magnitude <= 0x1p40f);
    std::uint8_t bad = 0;
    if (type == WeightType::s4)
      for (std::size_t i = 0; i < length / kBlock; ++i)
        bad = static_cast<std::uint8_t>(bad | !is_s4_code(codes[i]));
    else
      for (std::size_t i = 0; i < length; ++i) bad = static_cast<std::uint8_t>(bad | (codes[i] == 0x80));
    good &= bad == 0;
    row += segment_bytes(type, length);
    at += length;
  }
  return good;
}

// A row of activations as A17.5 leaves it; scale: one per segment.
struct RotatedRow {
  std::vector<std::int8_t> q;
  std::vector<float> scale;
};

// Spec: A17.5. Returns false if a value is not finite, or none that binary32 holds after the rotation.
inline bool rotate_row(std::span<const float> x, RotatedRow& out) {
  out.q.assign(x.size(), 0);
  out.scale.clear();
  bool finite = true;
  for (std::size_t at = 0; at < x.size();) {
    const std::size_t length = segment_length(x.size() - at);
    std::array<float, kSegment> v;
    std::copy_n(&x[at], length, v.begin());
    rotate_segment(std::span(v).first(length));
    finite &= quantise_block(std::span(v).first(length), &out.q[at], out.scale.emplace_back());
    at += length;
  }
  return finite;
}

// Spec: A17.6. |sum| <= 512 * 127 * 127 < 2^23, so its conversion is exact.
inline float dot_segments(WeightType type, const std::uint8_t* row, const RotatedRow& x) {
  float acc = 0.0f;
  std::size_t index = 0;
  for_each_segment(type, row, x.q.size(), [&](const WeightSegment& segment, std::size_t at) {
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < segment.length; ++i) sum += segment.weights[i] * x.q[at + i];
    const float scale = segment.scale * x.scale[index++];
    acc = std::fma(static_cast<float>(sum), scale, acc);
  });
  return acc;
}

// Spec: A17.7. A row of an embedding table, turned back: |sum| <= 512 * 127, one rounding an element.
inline void unrotate_row(WeightType type, const std::uint8_t* row, std::span<float> out) {
  for_each_segment(type, row, out.size(), [&](const WeightSegment& segment, std::size_t at) {
    std::array<std::int32_t, kSegment> sums;
    std::copy_n(segment.weights.begin(), segment.length, sums.begin());
    hadamard(std::span(sums).first(segment.length));
    for (std::size_t i = 0; i < segment.length; ++i)
      out[at + i] = static_cast<float>(changes_sign(i) ? -sums[i] : sums[i]) * segment.scale;
  });
}

}  // namespace cortensor::arith
