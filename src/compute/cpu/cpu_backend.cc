#include "compute/cpu/cpu_backend.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <functional>
#include <utility>

#include "arith/attention.h"
#include "base/check.h"
#include "compute/cpu/dispatch.h"
#include "compute/cpu/kv_page.h"
#include "compute/cpu/packing.h"
#include "compute/cpu/segment_matrix.h"

namespace cortensor::compute {

namespace {

using arith::WeightType;

// Below about ten microseconds of work a fork costs more than it saves.
constexpr std::size_t kForkWork = 32768;

// Of rows: as many as a kernel may work on side by side.
constexpr std::size_t kGroupsAtOnce = 8;

// Of a file's bytes, packed before they are given back.
constexpr std::size_t kPackPiece = 2 << 20;

// Of gate and of up, in memory at a time.
constexpr std::size_t kPanelFloats = 1 << 18;

// Columns of an input that are put in at a time.
constexpr std::size_t kPieceColumns = arith::kSegment;

const CpuMatrix& packed(const Matrix& matrix) {
  return static_cast<const CpuMatrix&>(matrix);
}

std::unique_ptr<CpuMatrix> make_matrix(WeightType type, std::size_t rows, std::size_t cols,
                                       std::size_t width) {
  if (arith::is_segmented(type)) return std::make_unique<SegmentMatrix>(type, rows, cols, width);
  return std::make_unique<PackedMatrix>(type, rows, cols, width);
}

// Several workers may mark the same row.
void mark(Failed failed, std::size_t row) {
  std::atomic_ref<std::uint8_t>(failed[row]).store(1, std::memory_order_relaxed);
}

}  // namespace

template <class Part>
void CpuBackend::split(std::size_t count, std::size_t grain, std::size_t work, const Part& part) {
  const std::size_t workers = pool_.threads();
  if (workers == 1 || work < kForkWork) return part(std::size_t{0}, count);
  grain = std::clamp<std::size_t>(count / workers, 1, grain);
  for (std::size_t w = 0; w < workers; ++w)
    shares_[w].begin.store(partition(count, grain, w, workers).begin, std::memory_order_relaxed);
  const auto job = [&](std::size_t worker) {
    for (std::size_t i = 0; i < workers; ++i) {
      const std::size_t owner = (worker + i) % workers;
      const std::size_t share_end = partition(count, grain, owner, workers).end;
      auto& begin = shares_[owner].begin;
      for (std::size_t from = begin.load(std::memory_order_relaxed); from < share_end;) {
        const std::size_t taken = std::max(grain, (share_end - from) / 4 / grain * grain);
        const std::size_t to = std::min(share_end, from + taken);
        if (!begin.compare_exchange_weak(from, to, std::memory_order_relaxed)) continue;
        part(from, to);
        from = begin.load(std::memory_order_relaxed);
      }
    }
  };
  pool_.run(std::cref(job));
}

std::string CpuBackend::name() const {
  const std::size_t n = threads();
  return "cpu " + std::string(kernels_.name) + ", " + std::to_string(n) + (n == 1 ? " thread" : " threads");
}

Result<std::unique_ptr<Matrix>> CpuBackend::load(WeightType type, std::size_t rows, std::size_t cols,
                                                 ByteView bytes, const Packed& packed) {
  const arith::FileBlock block = arith::file_block(type);
  if (block.elements == 0) return fail(ErrorKind::unsupported, "unknown weight type");
  if (rows == 0 || cols == 0)
    return fail(ErrorKind::invalid_input, "expected a matrix, found one without elements");
  if (cols % block.elements != 0)
    return fail(ErrorKind::unsupported, "quantised rows: expected a multiple of " +
                                            std::to_string(block.elements) + " columns, found " +
                                            std::to_string(cols));
  const std::size_t stride = arith::row_bytes(type, cols);
  if (bytes.size() / stride != rows || bytes.size() % stride != 0)
    return fail(ErrorKind::corrupt, "expected " + std::to_string(rows) + " rows of " +
                                        std::to_string(stride) + " bytes, found " +
                                        std::to_string(bytes.size()) + " bytes");

  auto matrix = make_matrix(type, rows, cols, kernels_.width);
  const std::size_t group_bytes = matrix->group_rows() * stride;
  const std::size_t at_once = std::max<std::size_t>(1, kPackPiece / group_bytes);
  std::atomic<bool> finite{true};
  split(matrix->groups(), at_once, rows * cols, [&](std::size_t begin, std::size_t end) {
    for (std::size_t group = begin; group < end; group += at_once) {
      const std::size_t next = std::min(end, group + at_once);
      if (!matrix->pack(bytes.data(), group, next)) return finite.store(false, std::memory_order_relaxed);
      const std::size_t from = group * group_bytes, to = std::min(bytes.size(), next * group_bytes);
      if (packed) packed(bytes.subspan(from, to - from));
    }
  });
  if (!finite.load(std::memory_order_relaxed))
    return fail(ErrorKind::corrupt, arith::is_segmented(type)
                                        ? "expected scales and codes of the native profile, found others"
                                        : "expected finite weights, found an infinity or a NaN");
  return std::unique_ptr<Matrix>(std::move(matrix));
}

void CpuBackend::embed(const Matrix& table, std::span<const std::uint32_t> ids, float* out) {
  const CpuMatrix& rows = packed(table);
  split(ids.size(), ids.size() * rows.cols() * 2, [&](std::size_t begin, std::size_t end) {
    for (std::size_t t = begin; t < end; ++t) {
      CORTENSOR_CHECK(ids[t] < rows.rows());
      rows.widen_row(ids[t], out + t * rows.cols());
    }
  });
}

void CpuBackend::rmsnorm(const float* x, std::size_t tokens, std::span<const float> weight, float epsilon,
                         float* out) {
  const std::size_t dim = weight.size();
  split(tokens, tokens > 1 ? tokens * dim : 0, [&](std::size_t begin, std::size_t end) {
    for (std::size_t t = begin; t < end; ++t)
      kernels_.rmsnorm(x + t * dim, weight.data(), dim, epsilon, out + t * dim);
  });
}

void CpuBackend::matmul(const float* x, std::size_t tokens, std::span<const Product> products,
                        Failed failed) {
  if (tokens == 0 || products.empty()) return;
  take_input(x, tokens, products, failed);
  multiply(input_, x, tokens, products, {0, SIZE_MAX});
}

void CpuBackend::take_input(const float* x, std::size_t tokens, std::span<const Product> products,
                            Failed failed) {
  const std::size_t cols = products[0].weights->cols();
  input_.begin(tokens, products);
  const std::size_t tiles = (tokens + kLargeTile - 1) / kLargeTile;
  const std::size_t pieces = (cols + kPieceColumns - 1) / kPieceColumns;
  // Piece by piece, for the tokens of a tile write to the same lines of the cache.
  split(tiles * pieces, tokens > 1 ? tokens * cols : 0, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const std::size_t first = i / pieces * kLargeTile, at = i % pieces * kPieceColumns;
      const std::size_t count = std::min(kPieceColumns, cols - at);
      for (std::size_t t = first; t < std::min(tokens, first + kLargeTile); ++t)
        if (!input_.put(t, at, x + t * cols + at, count)) mark(failed, t);
    }
  });
}

void CpuBackend::multiply(const MatmulInput& input, const float* x, std::size_t tokens,
                          std::span<const Product> products, Range rows) {
  const auto groups_of = [&](const CpuMatrix& w) {
    const std::size_t end = std::min(rows.end, w.rows());
    return Range{rows.begin / w.group_rows(), (end + w.group_rows() - 1) / w.group_rows()};
  };
  std::size_t groups = 0, work = 0;
  for (const Product& product : products) {
    const CpuMatrix& w = packed(*product.weights);
    const Range part = groups_of(w);
    groups += part.end - part.begin;
    work += (part.end - part.begin) * w.group_rows() * w.cols() * tokens / 8;
  }
  split(groups, kGroupsAtOnce, work, [&](std::size_t begin, std::size_t end) {
    std::size_t before = 0;  // groups of the products already passed
    for (const Product& product : products) {
      const CpuMatrix& w = packed(*product.weights);
      const Range part = groups_of(w);
      const std::size_t count = part.end - part.begin;
      const std::size_t first = std::max(begin, before), last = std::min(end, before + count);
      if (first < last) {
        MatmulArgs args = input.args(w.type());
        args.weights = w.data() + part.begin * w.group_bytes();
        args.rows = std::min(rows.end, w.rows()) - rows.begin;
        args.first_group = first - before;
        args.end_group = last - before;
        args.x = x;
        args.out = product.out;
        args.add = product.add;
        kernel_of(kernels_, w.type())(&args);
      }
      before += count;
    }
  });
}

// In panels of the inner rows, so that gate and up of few of them are in memory at a time: each panel, gated,
// becomes its part of the last product's input. An input that is not quantised is needed whole.
void CpuBackend::feed_forward(const float* x, std::size_t tokens, const FeedForward& weights, float* out,
                              Failed failed) {
  if (tokens == 0) return;
  const std::size_t width = weights.gate->rows();
  const arith::WeightType down_type = weights.down->type();
  CORTENSOR_CHECK(weights.up->rows() == width && weights.down->cols() == width);
  const std::size_t panel =
      arith::is_quantised(down_type) || arith::is_segmented(down_type)
          ? std::max<std::size_t>(1, kPanelFloats / tokens / kPieceColumns) * kPieceColumns
          : width;
  gate_.resize(std::max(gate_.size(), tokens * std::min(panel, width)));
  up_.resize(gate_.size());
  const Product inner[] = {{weights.gate, gate_.data()}, {weights.up, up_.data()}};
  const Product projection[] = {{weights.down, out, true}};

  take_input(x, tokens, inner, failed);
  gated_.begin(tokens, projection);
  for (std::size_t first = 0; first < width; first += panel) {
    const std::size_t rows = std::min(panel, width - first);
    multiply(input_, x, tokens, inner, {first, first + rows});
    const std::size_t pieces = (rows + kPieceColumns - 1) / kPieceColumns;  // of each token
    split(tokens * pieces, tokens * rows * 4, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        const std::size_t t = i / pieces, at = i % pieces * kPieceColumns;
        const std::size_t count = std::min(kPieceColumns, rows - at);
        float* const gate = gate_.data() + t * rows + at;
        kernels_.swiglu(gate, up_.data() + t * rows + at, count, gate);
        if (!gated_.put(t, first + at, gate, count)) mark(failed, t);
      }
    });
  }
  multiply(gated_, gate_.data(), tokens, projection, {0, SIZE_MAX});
}

void CpuBackend::rope(float* x, std::size_t heads, std::size_t head_dim, const RopeTable& table,
                      std::span<const SequenceRows> sequences) {
  CORTENSOR_CHECK(table.rotary() <= head_dim);
  const std::size_t stride = heads * head_dim;
  for (const SequenceRows& sequence : sequences) {
    CORTENSOR_CHECK(sequence.first_position + sequence.rows <= table.positions());
    split(sequence.rows, sequence.rows * stride, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        const auto entries = table.at(sequence.first_position + i);
        kernels_.rope(x + (sequence.first_row + i) * stride, heads, head_dim, &entries.data()->sin,
                      entries.size());
      }
    });
  }
}

std::size_t CpuBackend::page_bytes(const KvShape& shape) const {
  return shape.kv_heads * KvHeadPage::bytes(shape);
}

void CpuBackend::store_kv(const float* keys, const float* values, const KvShape& shape, std::size_t offset,
                          std::span<const SequenceRows> sequences, Failed failed) {
  const std::size_t stride = shape.kv_heads * shape.head_dim;
  for (const SequenceRows& sequence : sequences) {
    split(sequence.rows, sequence.rows * stride * 4, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        const std::size_t row = sequence.first_row + i, position = sequence.first_position + i;
        std::uint8_t* const layer = sequence.pages[position / kPagePositions] + offset;
        for (std::size_t h = 0; h < shape.kv_heads; ++h) {
          KvHeadPage page(layer + h * KvHeadPage::bytes(shape), shape, kernels_.width);
          const std::size_t at = row * stride + h * shape.head_dim;
          if (!page.store(position % kPagePositions, keys + at, values + at)) mark(failed, row);
        }
      }
    });
  }
}

// Items are as large as the kernel takes, for they share the widening of keys and values, unless that leaves
// workers without any. The longest come first, so that none is left over in the end.
void CpuBackend::plan_attention(std::size_t heads, const KvShape& shape,
                                std::span<const SequenceRows> sequences) {
  const std::size_t group = heads / shape.kv_heads;
  for (std::size_t limit = kAttendQueries; limit >= 1; limit /= 2) {
    const std::size_t heads_at_once = std::min(group, limit);
    const std::size_t rows_at_once = std::bit_floor(limit / heads_at_once);  // as many times into a page
    items_.clear();
    for (const SequenceRows& sequence : sequences) {
      for (std::size_t row = 0, rows; row < sequence.rows; row += rows) {
        const std::size_t position = sequence.first_position + row;
        rows = std::min(sequence.rows - row, rows_at_once - position % rows_at_once);
        for (std::size_t h = 0, item_heads; h < heads; h += item_heads) {
          item_heads = std::min(heads_at_once, group - h % group);  // of a KV head's last item perhaps fewer
          items_.push_back({&sequence, row, rows, h, item_heads, rows * item_heads * (position + rows)});
        }
      }
    }
    if (pool_.threads() == 1 || items_.size() >= 2 * pool_.threads()) break;
  }
  std::sort(items_.begin(), items_.end(),
            [](const AttendItem& a, const AttendItem& b) { return a.cost > b.cost; });
}

void CpuBackend::attend_item(const AttendItem& item, const float* q, std::size_t heads, const KvShape& shape,
                             std::size_t offset, float* out, Failed failed) const {
  const SequenceRows& sequence = *item.sequence;
  std::array<AttendQuery, kAttendQueries> queries;
  std::array<std::size_t, kAttendQueries> rows;
  std::size_t count = 0;
  for (std::size_t i = 0; i < item.rows; ++i) {
    for (std::size_t h = 0; h < item.heads; ++h, ++count) {
      rows[count] = sequence.first_row + item.row + i;
      const std::size_t at = (rows[count] * heads + item.first_head + h) * shape.head_dim;
      queries[count] = {q + at, out + at, sequence.first_position + item.row + i + 1};
    }
  }
  const std::size_t kv_head = item.first_head / (heads / shape.kv_heads);
  const AttendArgs args{queries.data(),
                        count,
                        sequence.pages,
                        offset + kv_head * KvHeadPage::bytes(shape),
                        shape.head_dim,
                        arith::attention_scale(shape.head_dim),
                        shape.cache == arith::CacheType::f16};
  const std::uint64_t bad = kernels_.attend(&args);
  for (std::size_t i = 0; i < count; ++i)
    if (bad >> i & 1) mark(failed, rows[i]);
}

void CpuBackend::attend(const float* q, std::size_t heads, const KvShape& shape, std::size_t offset,
                        std::span<const SequenceRows> sequences, float* out, Failed failed) {
  CORTENSOR_CHECK(shape.head_dim % 8 == 0 && shape.head_dim <= kMaxHeadDim && heads % shape.kv_heads == 0);
  plan_attention(heads, shape, sequences);
  std::atomic<std::size_t> next{0};
  const auto job = [&](std::size_t) {
    for (std::size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < items_.size();)
      attend_item(items_[i], q, heads, shape, offset, out, failed);
  };
  std::size_t cost = 0;
  for (const AttendItem& item : items_) cost += item.cost;
  if (cost * shape.head_dim < kForkWork) return job(0);
  pool_.run(std::cref(job));
}

void CpuBackend::check_finite(const float* x, std::size_t tokens, std::size_t width, Failed failed) {
  split(tokens, tokens * width / 4, [&](std::size_t begin, std::size_t end) {
    for (std::size_t t = begin; t < end; ++t)
      if (!kernels_.all_finite(x + t * width, width)) mark(failed, t);
  });
}

Result<std::unique_ptr<Backend>> make_cpu_backend(const CpuOptions& options) {
  if (options.threads == 0) return fail(ErrorKind::invalid_input, "expected at least one thread, found 0");
  auto kernels = choose_kernels(options.isa);
  if (!kernels) return std::move(kernels).error();
  return std::unique_ptr<Backend>(std::make_unique<CpuBackend>(**kernels, options.threads));
}

}  // namespace cortensor::compute
