// How near attention is to the processor's fused multiply-adds: the last rows of a context, over a cache of
// one layer, alternating with multiply-adds in registers by the same number of threads; the best pass of
// each.
//
//   attention_bench [--context 512,2048,8192,32768] [--rows 256] [--cache f16,int8] [--heads 32] [--kv-heads
//   8]
//                   [--dim 64] [--threads 1] [--isa avx2] [--passes 25] [--clock wall|cpu]
//
// --rows 1 is a step of generation. --clock cpu counts the processor time of the calling thread instead: for
// one thread on a machine with other work.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "base/runtime/thread_pool.h"
#include "bench.h"
#include "compute/backend.h"
#include "compute/cpu/buffer.h"
#include "compute/cpu/ceilings.h"
#include "compute/cpu/dispatch.h"

namespace cortensor::bench {
namespace {

using compute::KvShape;
using compute::SequenceRows;

struct Options {
  std::vector<std::size_t> contexts{512, 2048, 8192, 32768}, threads{1};
  std::vector<std::string> isas, caches{"f16", "int8"};
  std::size_t rows = 256, heads = 32, kv_heads = 8, dim = 64, passes = 25;
};

std::vector<float> small_numbers(std::size_t count, std::uint32_t state) {
  std::vector<float> numbers(count);
  for (float& x : numbers) {
    state = state * 1664525u + 1013904223u;
    x = static_cast<float>(state >> 8) * 0x1p-23f - 1.0f;
  }
  return numbers;
}

// Multiply-adds a second of `pool`, in billions.
double ceiling(ThreadPool& pool, const std::string& isa) {
  std::atomic<std::uint64_t> made{0};
  const double start = now();
  pool.run([&](std::size_t) { made += compute::plain_fmas(isa, 300'000); });
  return static_cast<double>(made.load()) / (now() - start) * 1e-9;
}

void measure(const Options& options, const std::string& isa, const std::string& cache, std::size_t threads,
             std::size_t context) {
  auto made = compute::make_cpu_backend({threads, isa});
  if (!made || context < options.rows) {
    std::fprintf(stderr, "%s\n", made ? "more rows than positions" : made.error().message.c_str());
    return;
  }
  compute::Backend& backend = **made;
  const KvShape shape{options.kv_heads, options.dim,
                      cache == "f16" ? arith::CacheType::f16 : arith::CacheType::int8};
  const std::size_t page_bytes = backend.page_bytes(shape);
  compute::Buffer memory((context + compute::kPagePositions - 1) / compute::kPagePositions * page_bytes);
  std::vector<std::uint8_t*> pages;
  for (std::size_t at = 0; at < memory.size(); at += page_bytes) pages.push_back(memory.data() + at);

  std::vector<std::uint8_t> failed(std::max<std::size_t>(options.rows, compute::kPagePositions));
  for (std::size_t t = 0; t < context; t += compute::kPagePositions) {
    const std::size_t rows = std::min(compute::kPagePositions, context - t);
    const auto seed = static_cast<std::uint32_t>(t);
    const std::vector<float> keys = small_numbers(rows * shape.kv_heads * shape.head_dim, seed),
                             values = small_numbers(keys.size(), seed + 1);
    const SequenceRows part{0, rows, t, pages.data()};
    backend.store_kv(keys.data(), values.data(), shape, 0, {&part, 1}, failed);
  }

  const std::vector<float> q = small_numbers(options.rows * options.heads * options.dim, 7);
  std::vector<float> out(q.size());
  const std::size_t before = context - options.rows;
  const SequenceRows rows{0, options.rows, before, pages.data()};
  const double keys = static_cast<double>(options.rows) *
                      (static_cast<double>(before) + static_cast<double>(options.rows + 1) / 2);
  const double macs = keys * static_cast<double>(options.heads * options.dim * 2);

  // A few calls at a time, so that the clock's own steps do not show.
  const auto calls = static_cast<std::size_t>(std::clamp(3e8 / macs, 1.0, 1000.0));
  ThreadPool pool(threads);
  double speed = 0, most = 0;  // the best of all passes: others had company
  for (std::size_t pass = 0; pass < options.passes; ++pass) {
    const double start = now();
    for (std::size_t i = 0; i < calls; ++i)
      backend.attend(q.data(), options.heads, shape, 0, {&rows, 1}, out.data(), failed);
    const double seconds = (now() - start) / static_cast<double>(calls);
    speed = std::max(speed, macs / seconds * 1e-9);
    most = std::max(most, ceiling(pool, isa));
  }
  std::printf(
      "%-6s %-4s %2zu thr  context %6zu  rows %3zu  %6.1f GMAC/s of %6.1f  ratio %.2f  cache read %.2f "
      "GB/s\n",
      isa.c_str(), cache.c_str(), threads, context, options.rows, speed, most, speed / most,
      static_cast<double>(memory.size()) * speed / macs);
  std::fflush(stdout);
}

}  // namespace
}  // namespace cortensor::bench

int main(int argc, char** argv) {
  using namespace cortensor;
  bench::Options options;
  for (const auto* table : compute::available_kernels())
    if (table != compute::scalar_kernels()) options.isas.emplace_back(table->name);
  bench::read_flags(
      argc, argv,
      {bench::flag("--context", options.contexts), bench::flag("--threads", options.threads),
       bench::flag("--isa", "NAME,…", options.isas,
                   [](const std::string& isa) { return compute::choose_kernels(isa).has_value(); }),
       bench::flag("--cache", "f16|int8,…", options.caches,
                   [](const std::string& cache) { return cache == "f16" || cache == "int8"; }),
       bench::flag("--rows", options.rows), bench::flag("--heads", options.heads),
       bench::flag("--kv-heads", options.kv_heads), bench::flag("--dim", options.dim),
       bench::flag("--passes", options.passes), bench::clock_flag()});
  for (const std::string& isa : options.isas)
    for (const std::string& cache : options.caches)
      for (const std::size_t threads : options.threads)
        for (const std::size_t context : options.contexts)
          bench::measure(options, isa, cache, threads, context);
}
