// The backend over a kernel table: cuts every operation into independent outputs and deals them out to a
// fixed pool, one fork and join per operation, none where the work is smaller than a fork.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/runtime/thread_pool.h"
#include "compute/backend.h"
#include "compute/cpu/kernel_table.h"
#include "compute/cpu/matmul_input.h"

namespace cortensor::compute {

class CpuBackend final : public Backend {
 public:
  CpuBackend(const KernelTable& kernels, std::size_t threads)
      : kernels_(kernels), pool_(threads), shares_(threads), input_(kernels), gated_(kernels) {}

  std::string name() const override;
  std::size_t threads() const override { return pool_.threads(); }
  Result<std::unique_ptr<Matrix>> load(arith::WeightType type, std::size_t rows, std::size_t cols,
                                       ByteView bytes, const Packed& packed = {}) override;
  void embed(const Matrix& table, std::span<const std::uint32_t> ids, float* out) override;
  void rmsnorm(const float* x, std::size_t tokens, std::span<const float> weight, float epsilon,
               float* out) override;
  void matmul(const float* x, std::size_t tokens, std::span<const Product> products, Failed failed) override;
  void feed_forward(const float* x, std::size_t tokens, const FeedForward& weights, float* out,
                    Failed failed) override;
  void rope(float* x, std::size_t heads, std::size_t head_dim, const RopeTable& table,
            std::span<const SequenceRows> sequences) override;
  std::size_t page_bytes(const KvShape& shape) const override;
  void store_kv(const float* keys, const float* values, const KvShape& shape, std::size_t offset,
                std::span<const SequenceRows> sequences, Failed failed) override;
  void attend(const float* q, std::size_t heads, const KvShape& shape, std::size_t offset,
              std::span<const SequenceRows> sequences, float* out, Failed failed) override;
  void check_finite(const float* x, std::size_t tokens, std::size_t width, Failed failed) override;

 private:
  // A few query heads of consecutive rows of one sequence, all of the same KV head and ending in one page.
  struct AttendItem {
    const SequenceRows* sequence;
    std::size_t row, rows;          // within the sequence
    std::size_t first_head, heads;  // query heads
    std::size_t cost;               // queries times keys
  };

  // Runs part(begin, end) over parts of [0, count), multiples of `grain` where there is enough; on the
  // caller's thread alone if `work`, a rough number of elementary steps, does not pay for a fork. Each worker
  // has a share, the same one every time, for whose memory it may be the nearest, and takes it in parts; who
  // has finished helps the others, whose cores may be slower, or shared with neighbours.
  template <class Part>
  void split(std::size_t count, std::size_t grain, std::size_t work, const Part& part);
  template <class Part>
  void split(std::size_t count, std::size_t work, const Part& part) {
    split(count, 1, work, part);
  }

  // Makes input_ of x.
  void take_input(const float* x, std::size_t tokens, std::span<const Product> products, Failed failed);
  // What the products have of `rows`, which begin with a group; out: [tokens, of these rows].
  void multiply(const MatmulInput& input, const float* x, std::size_t tokens,
                std::span<const Product> products, Range rows);
  void plan_attention(std::size_t heads, const KvShape& shape, std::span<const SequenceRows> sequences);
  void attend_item(const AttendItem& item, const float* q, std::size_t heads, const KvShape& shape,
                   std::size_t offset, float* out, Failed failed) const;

  struct alignas(64) Share {
    std::atomic<std::size_t> begin;  // of what is left
  };

  const KernelTable& kernels_;
  ThreadPool pool_;
  std::vector<Share> shares_;      // of one split()
  MatmulInput input_;              // of one matmul()
  MatmulInput gated_;              // of one feed_forward(), for its last product
  std::vector<float> gate_, up_;   // of one feed_forward(): a panel, [tokens, rows of the panel]
  std::vector<AttendItem> items_;  // of one attend()
};

}  // namespace cortensor::compute
