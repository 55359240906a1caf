// Spec: A11, A12. The paged cache and attention over it, every head shape and context length, against arith.
#include <cmath>
#include <limits>
#include <memory>

#include "arith/attention.h"
#include "conformance/conformance.h"

namespace cortensor::conformance {
namespace {

using arith::CacheType;
constexpr CacheType kCaches[] = {CacheType::int8, CacheType::f16};

using compute::KvShape;
using compute::SequenceRows;

// Pages whose memory held something else before: binary16 NaNs everywhere.
class Pages {
 public:
  Pages(std::size_t page_bytes, std::size_t positions) {
    for (std::size_t p = 0; p * 64 < positions; ++p) {
      memory_.push_back(std::make_unique<std::uint8_t[]>(page_bytes + 64));
      std::memset(memory_.back().get(), 0xff, page_bytes + 64);
      const auto address = reinterpret_cast<std::uintptr_t>(memory_.back().get());
      pages_.push_back(memory_.back().get() + (64 - address % 64) % 64);
    }
  }
  std::uint8_t* const* table() const { return pages_.data(); }

 private:
  std::vector<std::unique_ptr<std::uint8_t[]>> memory_;
  std::vector<std::uint8_t*> pages_;
};

// One sequence: all its keys, values and queries, and what the specification makes of them.
struct Sequence {
  Sequence(const KvShape& shape, std::size_t heads, std::size_t length, Kind kind, Random& random)
      : k(numbers(kind, length * shape.kv_heads * shape.head_dim, random)),
        v(numbers(kind, length * shape.kv_heads * shape.head_dim, random)),
        q(numbers(kind == Kind::cancelling ? Kind::ordinary : kind, length * heads * shape.head_dim, random)),
        expected(q.size()),
        refused(length) {
    const std::size_t dim = shape.head_dim, group = heads / shape.kv_heads;
    for (std::size_t kv = 0; kv < shape.kv_heads; ++kv) {
      arith::CachedRows keys(dim, shape.cache), values(dim, shape.cache);
      for (std::size_t t = 0; t < length; ++t) {
        refused[t] |= !keys.append({&k[(t * shape.kv_heads + kv) * dim], dim});
        refused[t] |= !values.append({&v[(t * shape.kv_heads + kv) * dim], dim});
        for (std::size_t h = kv * group; h < (kv + 1) * group; ++h) {
          const std::size_t at = (t * heads + h) * dim;
          refused[t] |= !arith::attend({&q[at], dim}, keys, values, t + 1, {&expected[at], dim});
        }
      }
    }
  }
  std::vector<float> k, v, q, expected;  // [length, heads, dim]
  std::vector<std::uint8_t> refused;     // [length]
};

class A12 : public PerIsa {
 protected:
  // Feeds the sequence in the given chunks of rows and compares every row.
  void expect_exact(compute::Backend& backend, const Sequence& s, const KvShape& shape, std::size_t heads,
                    std::size_t rows_at_once) {
    const std::size_t length = s.refused.size(), offset = 128;
    const std::size_t kv_width = shape.kv_heads * shape.head_dim, width = heads * shape.head_dim;
    const Pages pages(offset + backend.page_bytes(shape), length);
    std::vector<float> found(s.q.size());
    std::vector<std::uint8_t> failed(length);
    for (std::size_t t = 0; t < length; t += rows_at_once) {
      const std::size_t rows = std::min(rows_at_once, length - t);
      const SequenceRows batch{0, rows, t, pages.table()};
      const auto flags = std::span(failed).subspan(t, rows);
      backend.store_kv(&s.k[t * kv_width], &s.v[t * kv_width], shape, offset, {&batch, 1}, flags);
      backend.attend(&s.q[t * width], heads, shape, offset, {&batch, 1}, &found[t * width], flags);
    }
    ASSERT_EQ(failed, s.refused);
    for (std::size_t t = 0; t < length; ++t) {
      if (s.refused[t]) continue;
      ASSERT_TRUE(same_bits(std::span(s.expected).subspan(t * width, width),
                            std::span(found).subspan(t * width, width)))
          << "position " << t << ", head_dim " << shape.head_dim << ", heads " << heads << "/"
          << shape.kv_heads << ", rows at once " << rows_at_once;
    }
  }
};
CORTENSOR_PER_ISA(A12);

TEST_P(A12, EveryHeadShape) {
  Random random(12);
  const auto backend = this->backend(2);
  for (const std::size_t dim : {8u, 16u, 24u, 32u, 40u, 64u, 72u, 96u, 128u, 256u}) {
    for (const auto& [heads, kv_heads] :
         {std::pair{1u, 1u}, {4u, 4u}, {8u, 2u}, {6u, 2u}, {12u, 1u}, {22u, 2u}}) {
      for (const CacheType cache : kCaches) {
        const KvShape shape{kv_heads, dim, cache};
        const Sequence s(shape, heads, 70, Kind::ordinary, random);
        expect_exact(*backend, s, shape, heads, 70);
      }
    }
  }
}

// Decode equals prefill equals any chunking, for any number of threads, across chunk borders.
TEST_P(A12, AnyChunkingAndThreads) {
  Random random(13);
  for (const CacheType cache : kCaches) {
    const KvShape shape{2, 64, cache};
    const Sequence s(shape, 8, 260, Kind::ordinary, random);
    for (const std::size_t threads : {1u, 2u, 5u}) {
      const auto backend = this->backend(threads);
      for (const std::size_t rows : {1u, 3u, 63u, 64u, 65u, 260u}) expect_exact(*backend, s, shape, 8, rows);
    }
  }
}

TEST_P(A12, EveryKindOfNumbers) {
  Random random(14);
  const auto backend = this->backend(1);
  for (const Kind kind : kKinds) {
    for (const std::size_t dim : {8u, 48u, 128u}) {
      for (const CacheType cache : kCaches) {
        const KvShape shape{2, dim, cache};
        const Sequence s(shape, 6, 130, kind, random);
        expect_exact(*backend, s, shape, 6, 130);
      }
    }
  }
}

// Rows of several sequences in one batch, each at its own position.
TEST_P(A12, SeveralSequencesAtOnce) {
  Random random(15);
  const KvShape shape{2, 64};
  constexpr std::size_t kHeads = 4, kWidth = kHeads * 64, kKvWidth = 128;
  const std::size_t lengths[] = {1, 64, 65, 130, 7};
  for (const std::size_t threads : {1u, 2u}) {
    const auto backend = this->backend(threads);
    std::vector<Sequence> sequences;
    std::vector<Pages> pages;
    for (const std::size_t length : lengths) {
      sequences.emplace_back(shape, kHeads, length, Kind::ordinary, random);
      pages.emplace_back(backend->page_bytes(shape), length);
    }
    // All but the last three positions of each first, then the rest of all of them in one batch.
    std::vector<SequenceRows> batch;
    std::vector<float> q, k, v, expected;
    std::size_t row = 0;
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      const std::size_t rows = std::min<std::size_t>(3, lengths[i]), before = lengths[i] - rows;
      std::vector<std::uint8_t> failed(before);
      const SequenceRows history{0, before, 0, pages[i].table()};
      backend->store_kv(sequences[i].k.data(), sequences[i].v.data(), shape, 0, {&history, 1}, failed);
      batch.push_back({row, rows, before, pages[i].table()});
      const auto take = [&](std::vector<float>& to, const std::vector<float>& from, std::size_t width) {
        to.insert(to.end(), from.begin() + static_cast<std::ptrdiff_t>(before * width), from.end());
      };
      take(q, sequences[i].q, kWidth);
      take(k, sequences[i].k, kKvWidth);
      take(v, sequences[i].v, kKvWidth);
      take(expected, sequences[i].expected, kWidth);
      row += rows;
    }
    std::vector<float> found(expected.size());
    std::vector<std::uint8_t> failed(row);
    backend->store_kv(k.data(), v.data(), shape, 0, batch, failed);
    backend->attend(q.data(), kHeads, shape, 0, batch, found.data(), failed);
    EXPECT_TRUE(same_bits(expected, found));
    EXPECT_EQ(failed, std::vector<std::uint8_t>(row));
  }
}

// A query that is not finite, values beyond a binary16 scale, and scores that overflow mark their row alone.
TEST_P(A12, BadRowsAreMarked) {
  Random random(16);
  const auto backend = this->backend(2);
  constexpr std::size_t kLength = 80;
  KvShape shape{1, 32};
  const auto expect_marked = [&](std::size_t row, float* q, float* k, float* v, bool later_rows_too) {
    const Pages pages(backend->page_bytes(shape), kLength);
    const SequenceRows batch{0, kLength, 0, pages.table()};
    std::vector<std::uint8_t> failed(kLength), expected(kLength);
    std::vector<float> out(kLength * 2 * 32);
    backend->store_kv(k, v, shape, 0, {&batch, 1}, failed);
    backend->attend(q, 2, shape, 0, {&batch, 1}, out.data(), failed);
    for (std::size_t t = row; t < (later_rows_too ? kLength : row + 1); ++t) expected[t] = 1;
    EXPECT_EQ(failed, expected);
  };
  const auto fresh = [&] { return numbers(Kind::ordinary, kLength * 2 * 32, random); };
  for (const auto& [row, cache] : {std::pair{0u, CacheType::int8},
                                   {70u, CacheType::int8},
                                   {0u, CacheType::f16},
                                   {70u, CacheType::f16}}) {
    shape.cache = cache;
    auto q = fresh(), k = fresh(), v = fresh();
    q[row * 64 + 40] = std::numeric_limits<float>::quiet_NaN();
    expect_marked(row, q.data(), k.data(), v.data(), false);

    q = fresh();
    k[row * 32 + 3] = std::numeric_limits<float>::infinity();
    expect_marked(row, q.data(), k.data(), v.data(), false);

    k = fresh();
    v[row * 32 + 31] = 1e7f;  // 1e7 / 127 is beyond 65504
    expect_marked(row, q.data(), k.data(), v.data(), false);

    v = fresh();
    k[row * 32] = 8e6f;
    q[row * 64 + 32] = 3e38f;
    expect_marked(row, q.data(), k.data(), v.data(), false);
  }
}

}  // namespace
}  // namespace cortensor::conformance
