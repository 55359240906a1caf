// Fixed vectors through every kernel of a table, compared with the specification bit for bit. It is small, so
// that every process can afford it at start; tests/conformance is the thorough form.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "arith/attention.h"
#include "arith/matmul.h"
#include "arith/philox.h"
#include "arith/rmsnorm.h"
#include "arith/rope.h"
#include "arith/silu.h"
#include "base/runtime/thread_pool.h"
#include "compute/cpu/dispatch.h"
#include "compute/cpu/kv_page.h"
#include "compute/cpu/matmul_input.h"
#include "compute/cpu/packing.h"
#include "compute/cpu/segment_matrix.h"

namespace cortensor::compute {

namespace {

using arith::WeightType;

// Deterministic values of mixed magnitude and sign.
class Vectors {
 public:
  explicit Vectors(std::uint32_t stream) : stream_(stream) {}
  std::uint32_t word() { return arith::philox({next_++, stream_, 0, 0}, {0x636f7274u, 0x656e736fu})[0]; }
  float value() {
    const std::uint32_t w = word();
    const auto mantissa = static_cast<float>(static_cast<std::int32_t>(w)) * 0x1p-31f;
    return std::ldexp(mantissa, static_cast<int>(word() % 16) - 8);
  }
  std::vector<float> values(std::size_t n) {
    std::vector<float> v(n);
    for (float& x : v) x = value();
    return v;
  }

 private:
  std::uint32_t stream_, next_ = 0;
};

bool same(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

// Scales of ordinary size, no -128, codes whose weights fit.
void make_segments_good(WeightType type, std::uint8_t* row, std::size_t cols, Vectors& random) {
  for (std::size_t at = 0; at < cols;) {
    const std::size_t length = arith::segment_length(cols - at);
    const float scale = random.value();
    std::memcpy(row, &scale, 4);
    if (type == WeightType::s8)
      std::replace(row + 4, row + 4 + length, std::uint8_t{0x80}, std::uint8_t{0x7f});
    if (type == WeightType::s4)
      for (std::size_t i = 4; i < 4 + length / arith::kBlock; ++i)
        while (!arith::is_s4_code(row[i])) row[i] = static_cast<std::uint8_t>(random.word());
    row += arith::segment_bytes(type, length);
    at += length;
  }
}

Bytes weights_of(WeightType type, std::size_t rows, std::size_t cols, Vectors& random) {
  Bytes bytes(rows * arith::row_bytes(type, cols));
  for (std::size_t i = 0; i < bytes.size(); i += 4) {
    const std::uint32_t word = random.word();
    std::memcpy(&bytes[i], &word, std::min<std::size_t>(4, bytes.size() - i));
  }
  if (arith::is_segmented(type)) {
    for (std::size_t r = 0; r < rows; ++r)
      make_segments_good(type, &bytes[r * arith::row_bytes(type, cols)], cols, random);
    return bytes;
  }
  // Keep scales and weights finite: clear the top exponent bit of every number.
  const arith::FileBlock block = arith::file_block(type);
  for (std::size_t i = 0; i < bytes.size(); i += block.bytes) {
    if (block.scales == 0) bytes[i + block.bytes - 1] &= 0xbf;
    for (std::size_t s = 0; s < block.scales; ++s) bytes[i + block.first_scale + 2 * s + 1] &= 0xbf;
  }
  return bytes;
}

using Matmul = void (*)(const MatmulArgs*);

bool product_is_exact(const KernelTable& table, Matmul kernel, CpuMatrix& matrix, std::size_t tokens) {
  const std::size_t rows = matrix.rows(), cols = matrix.cols();
  Vectors random(static_cast<std::uint32_t>(matrix.type()));
  const Bytes file = weights_of(matrix.type(), rows, cols, random);
  if (!matrix.pack(file.data(), 0, matrix.groups())) return false;

  const std::vector<float> x = random.values(tokens * cols);
  std::vector<float> expected(rows * tokens), found(rows * tokens);
  const Product product[] = {{&matrix, found.data()}};
  MatmulInput input(table);
  input.begin(tokens, product);
  for (std::size_t t = 0; t < tokens; ++t) {
    const std::span row(x.data() + t * cols, cols);
    input.put(t, 0, row.data(), cols);
    arith::matvec(matrix.type(), file.data(), row, {&expected[t * rows], rows});
  }
  MatmulArgs args = input.args(matrix.type());
  args.weights = matrix.data();
  args.rows = rows;
  args.end_group = matrix.groups();
  args.x = x.data();
  args.out = found.data();
  kernel(&args);
  return same(expected, found);
}

bool matmul_is_exact(const KernelTable& table, WeightType type) {
  // Odd everything: 17 blocks, or three of 256.
  PackedMatrix matrix(type, 67, arith::file_block(type).elements <= arith::kBlock ? 544 : 768, table.width);
  return product_is_exact(table, table.matmul[static_cast<std::size_t>(type)], matrix, 17);
}

bool segments_are_exact(const KernelTable& table, WeightType type, Matmul kernel) {
  SegmentMatrix matrix(type, 35, 512 + 128 + 64, table.width);
  return product_is_exact(table, kernel, matrix, 19);
}

bool quantiser_is_exact(const KernelTable& table) {
  Vectors random(100);
  const std::vector<float> x = random.values(96);
  Buffer tile(3 * kInputBytes);
  arith::QuantisedRow expected;
  arith::quantise_row(x, expected);
  if (!table.quantise(x.data(), x.size(), 3, 1, 0, tile.data(), nullptr)) return false;
  for (std::size_t b = 0; b < 3; ++b) {
    const std::uint8_t* record = tile.data() + b * kInputBytes;
    if (std::memcmp(record, &expected.q[b * 32], 32) != 0) return false;
    if (std::memcmp(record + 32, &expected.scale[b], 4) != 0) return false;
  }
  return true;
}

bool norm_is_exact(const KernelTable& table) {
  Vectors random(101);
  const std::vector<float> x = random.values(1000), weight = random.values(1000);
  std::vector<float> expected(1000), found(1000);
  arith::rmsnorm(x, weight, 1e-5f, expected);
  table.rmsnorm(x.data(), weight.data(), x.size(), 1e-5f, found.data());
  return same(expected, found);
}

bool gate_is_exact(const KernelTable& table) {
  Vectors random(102);
  const std::vector<float> gate = random.values(100), up = random.values(100);
  std::vector<float> expected(100), found(100);
  for (std::size_t i = 0; i < gate.size(); ++i) expected[i] = arith::swiglu(gate[i], up[i]);
  table.swiglu(gate.data(), up.data(), gate.size(), found.data());
  return same(expected, found);
}

bool rotation_is_exact(const KernelTable& table) {
  Vectors random(103);
  std::vector<float> expected = random.values(2 * 40), found = expected;
  std::vector<arith::SinCos> entries(16);
  for (std::size_t i = 0; i < entries.size(); ++i)
    entries[i] = arith::rope_entry(777, arith::rope_frequency(500000.0, 32, i, 1.0f));
  for (std::size_t h = 0; h < 2; ++h) arith::rotate({&expected[h * 40], 40}, entries);
  table.rope(found.data(), 2, 40, &entries[0].sin, entries.size());
  return same(expected, found);
}

bool attention_is_exact(const KernelTable& table, arith::CacheType cache) {
  constexpr std::size_t kDim = 48, kKeys = 150;
  Vectors random(104);
  const KvShape shape{1, kDim, cache};
  arith::CachedRows keys(kDim, cache), values(kDim, cache);
  std::vector<Buffer> pages;
  std::vector<const std::uint8_t*> pointers;
  for (std::size_t key = 0; key < kKeys; ++key) {
    if (key % kPagePositions == 0) pointers.push_back(pages.emplace_back(KvHeadPage::bytes(shape)).data());
    const std::vector<float> k = random.values(kDim), v = random.values(kDim);
    keys.append(k);
    values.append(v);
    KvHeadPage(pages.back().data(), shape, table.width).store(key % kPagePositions, k.data(), v.data());
  }
  // Up to every end in a page, one query alone, then enough for several tiles.
  for (const auto& counts : {std::vector<std::size_t>{1, 63, 64},
                             {65, 100},
                             {150},
                             {129, 130, 131, 132, 133, 134, 135, 136, 149, 150}}) {
    const std::vector<float> x = random.values(counts.size() * kDim);
    std::vector<float> expected(x.size()), found(x.size());
    std::vector<AttendQuery> queries;
    for (std::size_t i = 0; i < counts.size(); ++i) {
      queries.push_back({&x[i * kDim], &found[i * kDim], counts[i]});
      arith::attend({&x[i * kDim], kDim}, keys, values, counts[i], {&expected[i * kDim], kDim});
    }
    const AttendArgs args{queries.data(),
                          queries.size(),
                          pointers.data(),
                          0,
                          kDim,
                          arith::attention_scale(kDim),
                          cache == arith::CacheType::f16};
    if (table.attend(&args) != 0 || !same(expected, found)) return false;
  }
  return true;
}

}  // namespace

Status self_test(const KernelTable& table) {
  const auto wrong = [](std::string_view kernel) {
    return fail(ErrorKind::internal,
                "self-test of " + std::string(kernel) +
                    ": expected the bits of the specification, found others; refusing to compute");
  };
  if (!floating_point_environment_is_exact()) return wrong("the floating-point environment");
  if (!quantiser_is_exact(table)) return wrong("the quantiser");
  for (std::uint32_t number = 0; number < kWeightTypes; ++number) {
    const auto type = static_cast<WeightType>(number);
    if (arith::file_block(type).bytes != 0 && !matmul_is_exact(table, type))
      return wrong("the product of weight type " + std::to_string(number));
  }
  if (!segments_are_exact(table, WeightType::s8, table.matmul_s8)) return wrong("the s8 product");
  if (!segments_are_exact(table, WeightType::s4, table.matmul_s4)) return wrong("the s4 product");
  if (!norm_is_exact(table)) return wrong("the norm");
  if (!gate_is_exact(table)) return wrong("the gate");
  if (!rotation_is_exact(table)) return wrong("the rotation");
  if (!attention_is_exact(table, arith::CacheType::int8)) return wrong("attention over int8");
  if (!attention_is_exact(table, arith::CacheType::f16)) return wrong("attention over binary16");
  return ok();
}

}  // namespace cortensor::compute
