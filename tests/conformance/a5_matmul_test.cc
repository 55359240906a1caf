// Spec: A2, A5, A6, A17. Products of every weight type, shape remainder, batch size and thread count, against
// arith.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <mutex>

#include "arith/matmul.h"
#include "conformance/conformance.h"

namespace cortensor::conformance {
namespace {

using arith::WeightType;
using compute::Product;

const std::vector<WeightType> kTypes = all_types();

// Columns of `blocks` blocks of 32, or of the type where it has larger ones.
std::size_t columns(WeightType type, std::size_t blocks) {
  return blocks * std::max(arith::file_block(type).elements, arith::kBlock);
}

class A5 : public PerIsa {
 protected:
  void expect_exact(compute::Backend& backend, WeightType type, std::size_t rows, std::size_t cols,
                    std::size_t tokens, Kind kind, Random& random) {
    const Bytes file = weights(type, rows, cols, kind, random);
    const auto matrix = backend.load(type, rows, cols, file);
    ASSERT_TRUE(matrix) << matrix.error().message;
    const std::vector<float> x = numbers(kind, tokens * cols, random);
    std::vector<float> expected(tokens * rows), found(tokens * rows);
    for (std::size_t t = 0; t < tokens; ++t)
      ASSERT_TRUE(arith::matvec(type, file.data(), {&x[t * cols], cols}, {&expected[t * rows], rows}));

    std::vector<std::uint8_t> failed(tokens);
    const Product product{matrix->get(), found.data()};
    backend.matmul(x.data(), tokens, {&product, 1}, failed);
    ASSERT_TRUE(same_bits(expected, found))
        << "type " << static_cast<int>(type) << ", " << rows << " x " << cols << ", tokens " << tokens
        << ", kind " << static_cast<int>(kind);
    ASSERT_EQ(failed, std::vector<std::uint8_t>(tokens));

    const std::vector<float> before = numbers(Kind::ordinary, tokens * rows, random);
    found = before;
    const Product residual{matrix->get(), found.data(), true};
    backend.matmul(x.data(), tokens, {&residual, 1}, failed);
    for (std::size_t i = 0; i < expected.size(); ++i) expected[i] = before[i] + expected[i];
    ASSERT_TRUE(same_bits(expected, found));
  }
};
CORTENSOR_PER_ISA(A5);

TEST_P(A5, EveryNumberOfBlocksAndTokens) {
  Random random(5);
  const auto backend = this->backend(1);
  for (const WeightType type : kQuantised)
    for (std::size_t blocks = 1; columns(type, blocks) <= 1120; ++blocks)
      for (std::size_t tokens = 1; tokens <= 9; ++tokens)
        expect_exact(*backend, type, 1 + random() % 40, columns(type, blocks), tokens, kKinds[random() % 6],
                     random);
}

// Every end of a row; tiles of four and of sixteen tokens, whole and not, one and several, and more than a
// panel.
TEST_P(A5, EveryKindOfSegmentAndTile) {
  Random random(12);
  const auto backend = this->backend(1);
  for (const WeightType type : kNative) {
    for (std::size_t blocks = 1; blocks <= 35; ++blocks)
      for (std::size_t tokens = 1; tokens <= 9; ++tokens)
        expect_exact(*backend, type, 1 + random() % 40, 32 * blocks, tokens, kKinds[random() % 6], random);
    for (const std::size_t tokens : {15u, 16u, 17u, 31u, 32u, 33u, 47u, 64u, 127u, 128u, 131u, 160u, 275u})
      for (const std::size_t cols : {64u, 512u, 704u, 1024u, 1056u})
        expect_exact(*backend, type, 1 + random() % 70, cols, tokens, kKinds[random() % 6], random);
  }
}

// More tokens than one panel, from the fewest that are cut into panels at all.
TEST_P(A5, PanelsOfTokens) {
  Random random(11);
  const auto backend = this->backend(1);
  for (const WeightType type : kQuantised)
    for (const std::size_t tokens : {15u, 16u, 17u, 63u, 64u, 67u, 68u, 131u, 275u})
      for (const std::size_t cols : {32u, 64u, 512u, 544u, 768u, 1120u})
        if (cols % arith::file_block(type).elements == 0)
          expect_exact(*backend, type, 1 + random() % 40, cols, tokens, kKinds[random() % 6], random);
}

// Rows so long that fewer tokens make a panel, and more groups of rows than are written together.
TEST_P(A5, PanelsOfLongRows) {
  Random random(14);
  const auto backend = this->backend(1);
  for (const WeightType type : {WeightType::q8_0, WeightType::q6_k, WeightType::s8, WeightType::s4})
    expect_exact(*backend, type, 130, 16384, 83, Kind::ordinary, random);
}

TEST_P(A5, EveryRemainderOfColumnsOfRegularWeights) {
  Random random(6);
  const auto backend = this->backend(1);
  for (const WeightType type : kRegular) {
    for (std::size_t cols = 1; cols <= 40; ++cols)
      expect_exact(*backend, type, 1 + random() % 70, cols, 1 + random() % 9, kKinds[random() % 6], random);
    for (const std::size_t cols : {511u, 512u, 513u, 1024u, 1100u})
      for (std::size_t tokens = 1; tokens <= 9; ++tokens)
        expect_exact(*backend, type, 1 + random() % 70, cols, tokens, kKinds[random() % 6], random);
  }
}

TEST_P(A5, EveryRemainderOfRowsAndKindOfNumbers) {
  Random random(7);
  const auto backend = this->backend(1);
  for (const WeightType type : kTypes)
    for (const Kind kind : kKinds)
      for (std::size_t rows = 1; rows <= 66; rows += 5)
        expect_exact(*backend, type, rows, columns(type, 3), 3, kind, random);
}

// What is packed is not needed any more: every byte is given back once.
TEST_P(A5, GivesBackTheBytesThatArePacked) {
  Random random(13);
  const auto backend = this->backend(2);
  for (const WeightType type : {WeightType::f32, WeightType::q8_0, WeightType::s8}) {
    const Bytes file = weights(type, 4100, 1056, Kind::zeros, random);
    std::mutex mutex;
    std::map<const std::uint8_t*, std::size_t> parts;
    ASSERT_TRUE(backend->load(type, 4100, 1056, file, [&](ByteView part) {
      const std::lock_guard lock(mutex);
      parts[part.data()] += part.size();
    }));
    EXPECT_GE(parts.size(), 3u);
    const std::uint8_t* at = file.data();
    for (const auto& [begin, size] : parts) {
      ASSERT_EQ(begin, at);
      at += size;
    }
    EXPECT_EQ(at, file.data() + file.size());
  }
}

// Large enough that the work is split over the threads.
TEST_P(A5, AnyNumberOfThreads) {
  for (const std::size_t threads : {1u, 2u, 3u}) {
    Random random(8);
    const auto backend = this->backend(threads);
    for (const WeightType type : kTypes)
      for (const std::size_t tokens : {1u, 6u})
        expect_exact(*backend, type, 523, arith::is_quantised(type) ? 1280 : 1056, tokens, Kind::ordinary,
                     random);
  }
}

// Several matrices of different types share one input.
TEST_P(A5, ProductsThatShareAnInput) {
  Random random(9);
  const auto backend = this->backend(2);
  constexpr std::size_t kCols = 256, kTokens = 5;
  const std::vector<float> x = numbers(Kind::ordinary, kTokens * kCols, random);
  std::vector<std::unique_ptr<compute::Matrix>> matrices;
  std::vector<std::vector<float>> expected, found;
  std::vector<Product> products;
  for (std::size_t i = 0; i < kTypes.size(); ++i) {
    const std::size_t rows = 100 + 30 * i;
    const Bytes file = weights(kTypes[i], rows, kCols, Kind::ordinary, random);
    matrices.push_back(std::move(*backend->load(kTypes[i], rows, kCols, file)));
    expected.emplace_back(kTokens * rows);
    found.emplace_back(kTokens * rows);
    for (std::size_t t = 0; t < kTokens; ++t)
      arith::matvec(kTypes[i], file.data(), {&x[t * kCols], kCols}, {&expected[i][t * rows], rows});
  }
  for (std::size_t i = 0; i < kTypes.size(); ++i) products.push_back({matrices[i].get(), found[i].data()});
  std::vector<std::uint8_t> failed(kTokens);
  backend->matmul(x.data(), kTokens, products, failed);
  for (std::size_t i = 0; i < kTypes.size(); ++i) EXPECT_TRUE(same_bits(expected[i], found[i])) << i;
}

// A row with a NaN or an infinity is marked; the rows beside it keep their bits.
TEST_P(A5, NonFiniteRowsAreMarkedAndHarmNobody) {
  Random random(10);
  const auto backend = this->backend(2);
  constexpr std::size_t kRows = 40, kCols = 256, kTokens = 6;
  for (const WeightType type : kTypes) {
    const Bytes file = weights(type, kRows, kCols, Kind::ordinary, random);
    const auto matrix = backend->load(type, kRows, kCols, file);
    std::vector<float> x = numbers(Kind::ordinary, kTokens * kCols, random);
    x[1 * kCols + 63] = std::numeric_limits<float>::quiet_NaN();
    x[4 * kCols] = -std::numeric_limits<float>::infinity();
    std::vector<float> found(kTokens * kRows), expected(kRows);
    std::vector<std::uint8_t> failed(kTokens);
    const Product product{matrix->get(), found.data()};
    backend->matmul(x.data(), kTokens, {&product, 1}, failed);
    EXPECT_EQ(failed, (std::vector<std::uint8_t>{0, 1, 0, 0, 1, 0}));
    for (const std::size_t t : {0u, 2u, 3u, 5u}) {
      arith::matvec(type, file.data(), {&x[t * kCols], kCols}, expected);
      EXPECT_TRUE(same_bits(expected, std::span(found).subspan(t * kRows, kRows)));
    }
  }
}

TEST_P(A5, RowsOfATableAreWidenedExactly) {
  Random random(11);
  const auto backend = this->backend(2);
  for (const WeightType type : kTypes) {
    constexpr std::size_t kRows = 70, kCols = 768;
    const Bytes file = weights(type, kRows, kCols, Kind::wide, random);
    const auto table = backend->load(type, kRows, kCols, file);
    ASSERT_TRUE(table);
    std::vector<std::uint32_t> ids(kRows);
    for (auto& id : ids) id = static_cast<std::uint32_t>(random() % kRows);
    std::vector<float> expected(kRows * kCols), found(kRows * kCols);
    for (std::size_t t = 0; t < kRows; ++t)
      arith::embedding_row(type, file.data() + ids[t] * arith::row_bytes(type, kCols),
                           {&expected[t * kCols], kCols});
    backend->embed(**table, ids, found.data());
    EXPECT_TRUE(same_bits(expected, found));
  }
}

// A2.5 and the sizes that load() promises to check.
TEST_P(A5, BadMatricesAreRefused) {
  const auto backend = this->backend(1);
  Random random(12);
  for (const WeightType type : kTypes) {
    constexpr std::size_t kCols = 512;
    Bytes file = weights(type, 4, kCols, Kind::ordinary, random);
    EXPECT_FALSE(backend->load(type, 5, kCols, file));
    EXPECT_FALSE(backend->load(type, 4, kCols / 2, file));
    EXPECT_FALSE(backend->load(type, 0, kCols, {}));
    EXPECT_FALSE(backend->load(type, 4, kCols, ByteView(file).first(file.size() - 1)));
    if (arith::is_segmented(type)) continue;
    const arith::FileBlock block = arith::file_block(type);
    for (std::size_t s = 0; s < std::max<std::size_t>(1, block.scales); ++s) {  // every scale, or a number
      Bytes bad = file;
      const std::size_t top = block.scales == 0 ? block.bytes - 1 : block.first_scale + 2 * s + 1;
      const std::size_t at = 4 * arith::row_bytes(type, kCols) - block.bytes + top;
      bad[at] = 0x7f;
      if (type == WeightType::f32 || type == WeightType::bf16) bad[at - 1] |= 0x80;
      const auto loaded = backend->load(type, 4, kCols, bad);
      ASSERT_FALSE(loaded) << static_cast<int>(type);
      EXPECT_EQ(loaded.error().kind, ErrorKind::corrupt);
    }
  }
  EXPECT_FALSE(backend->load(WeightType::q8_0, 4, 48, Bytes(4 * 51)));
  EXPECT_FALSE(backend->load(WeightType::q4_k, 4, 128, Bytes(4 * 72)));
}

// A17.3, A17.4: a weight of -128, a code whose weights do not fit, scales that are too small, too large, no
// number.
TEST_P(A5, BadSegmentsAreRefused) {
  const auto backend = this->backend(1);
  Random random(13);
  const auto loads = [&](WeightType type, std::size_t at, std::initializer_list<std::uint8_t> bytes) {
    Bytes file = weights(type, 1, 544, Kind::ordinary, random);
    std::copy(bytes.begin(), bytes.end(), file.begin() + static_cast<std::ptrdiff_t>(at));
    return backend->load(type, 1, 544, file).has_value();
  };
  for (const WeightType type : kNative) {
    EXPECT_TRUE(loads(type, 0, {0, 0, 0x80, 0x3f}));
    EXPECT_TRUE(loads(type, 0, {0, 0, 0, 0x80}));
    for (const int top : {0x20, 0xa0, 0x7f, 0xff, 0x60})
      EXPECT_FALSE(loads(type, 0, {0, 0, 0x80, static_cast<std::uint8_t>(top)}));
    EXPECT_FALSE(loads(type, 0, {1, 0, 0, 0}));
  }
  EXPECT_TRUE(loads(WeightType::s8, 4 + 511, {0x81}));
  EXPECT_FALSE(loads(WeightType::s8, 4 + 511, {0x80}));
  EXPECT_TRUE(loads(WeightType::s4, 4 + 15, {0x1f}));
  EXPECT_FALSE(loads(WeightType::s4, 4 + 15, {0x7f}));
  EXPECT_FALSE(loads(WeightType::s4, 4 + 15, {0x8f}));
}

}  // namespace
}  // namespace cortensor::conformance
