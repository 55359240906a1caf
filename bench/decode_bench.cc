// How near decoding is to the memory's speed, and how much cheaper a replay is than a generation.
//
// A random model with the layer shapes of Llama-3.2-1B, more than 512 MB of it, is multiplied with one token
// (decode) and with many (prefill, the shape of a replay). Passes of decode alternate with plain reads of the
// same bytes by the same number of threads; the ratio of the medians is printed per weight type, instruction
// set and thread count.
//
//   decode_bench [--threads 1,2] [--isa avx2] [--type q8_0] [--passes 9] [--tokens 128] [--clock wall|cpu]
//
// --clock cpu counts the processor time of the calling thread instead: for one thread on a machine with other
// work.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/runtime/thread_pool.h"
#include "bench.h"
#include "compute/backend.h"
#include "compute/cpu/ceilings.h"
#include "compute/cpu/dispatch.h"
#include "compute/cpu/packing.h"
#include "random_rows.h"

namespace cortensor::bench {
namespace {

using arith::WeightType;
using compute::Product;

constexpr std::size_t kDim = 2048, kKvDim = 512, kFfn = 8192, kWorkingSet = 512u << 20;

struct Options {
  std::vector<std::size_t> threads{1, 2};
  std::vector<std::string> isas;
  std::vector<std::string> types{"q8_0", "q4_0", "f16"};
  std::size_t passes = 9, tokens = 128;
};

struct Layer {
  std::unique_ptr<compute::Matrix> q, k, v, o, gate, up, down;
  std::vector<const compute::Matrix*> all() const {
    return {q.get(), k.get(), v.get(), o.get(), gate.get(), up.get(), down.get()};
  }
};

class Model {
 public:
  Model(compute::Backend& backend, WeightType type) : backend_(backend) {
    const Bytes wide = random_rows(type, kFfn, kDim), square = random_rows(type, kDim, kDim);
    const auto load = [&](std::size_t rows, std::size_t cols) {
      const ByteView source = rows * cols > kDim * kDim ? ByteView(wide) : ByteView(square);
      auto matrix = backend.load(type, rows, cols, source.first(rows * arith::row_bytes(type, cols)));
      if (!matrix) {
        std::fprintf(stderr, "%s\n", matrix.error().message.c_str());
        std::exit(1);
      }
      bytes_ += (*matrix)->memory_bytes();
      macs_ += rows * cols;
      return std::move(*matrix);
    };
    while (bytes_ < kWorkingSet)
      layers_.push_back({load(kDim, kDim), load(kKvDim, kDim), load(kKvDim, kDim), load(kDim, kDim),
                         load(kFfn, kDim), load(kFfn, kDim), load(kDim, kFfn)});
  }

  std::size_t bytes() const { return bytes_; }
  std::size_t macs() const { return macs_; }  // per token

  // The products of one forward pass over the first `layers` layers; inputs are the same small numbers for
  // each.
  void forward(std::size_t tokens, std::size_t layers) {
    x_.resize(std::max(x_.size(), tokens * kFfn), 0.5f);
    for (std::size_t i = 0; i < x_.size(); ++i)
      x_[i] = static_cast<float>(i * 2654435761u % 1000) * 1e-3f - 0.5f;
    for (auto* out : {&a_, &b_, &c_}) out->resize(std::max(out->size(), tokens * kFfn));
    failed_.assign(tokens, 0);
    const double start = now();
    for (std::size_t i = 0; i < std::min(layers, layers_.size()); ++i) {
      const Layer& l = layers_[i];
      const Product qkv[] = {{l.q.get(), a_.data()}, {l.k.get(), b_.data()}, {l.v.get(), c_.data()}};
      const Product o[] = {{l.o.get(), a_.data()}};
      const Product ffn[] = {{l.gate.get(), b_.data()}, {l.up.get(), c_.data()}};
      const Product down[] = {{l.down.get(), a_.data()}};
      backend_.matmul(x_.data(), tokens, qkv, failed_);
      backend_.matmul(x_.data(), tokens, o, failed_);
      backend_.matmul(x_.data(), tokens, ffn, failed_);
      backend_.matmul(x_.data(), tokens, down, failed_);
    }
    seconds_ = now() - start;
  }
  double last_seconds() const { return seconds_; }
  std::size_t layers() const { return layers_.size(); }

  // Reads every weight once; each worker reads the rows that it also multiplies.
  std::uint64_t read(ThreadPool& pool, const std::string& isa) const {
    std::vector<std::uint64_t> sums(pool.threads());
    pool.run([&](std::size_t worker) {
      for (const Layer& layer : layers_) {
        for (const compute::Matrix* matrix : layer.all()) {
          const auto& packed = static_cast<const compute::CpuMatrix&>(*matrix);
          const Range part = partition(packed.memory_bytes(), 4096, worker, pool.threads());
          sums[worker] += compute::plain_read(isa, packed.data() + part.begin, part.end - part.begin);
        }
      }
    });
    std::uint64_t sum = 0;
    for (const std::uint64_t s : sums) sum += s;
    return sum;
  }

 private:
  compute::Backend& backend_;
  std::vector<Layer> layers_;
  std::size_t bytes_ = 0, macs_ = 0;
  std::vector<float> x_, a_, b_, c_;
  std::vector<std::uint8_t> failed_;
  double seconds_ = 0;
};

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

void measure(const Options& options, const std::string& isa, const std::string& type, std::size_t threads) {
  auto backend = compute::make_cpu_backend({threads, isa});
  if (!backend) {
    std::fprintf(stderr, "%s\n", backend.error().message.c_str());
    return;
  }
  Model model(**backend, kTypes.at(type));
  ThreadPool readers(threads);
  std::vector<double> read, decode, prefill;
  std::uint64_t sink = model.read(readers, isa);
  model.forward(1, model.layers());
  for (std::size_t pass = 0; pass < options.passes; ++pass) {
    const double start = now();
    sink += model.read(readers, isa);
    read.push_back(now() - start);
    model.forward(1, model.layers());
    decode.push_back(model.last_seconds());
  }
  const std::size_t prefill_layers = 2;
  for (std::size_t pass = 0; pass < 3; ++pass) {
    model.forward(options.tokens, prefill_layers);
    prefill.push_back(model.last_seconds());
  }
  const auto bytes = static_cast<double>(model.bytes()), macs = static_cast<double>(model.macs());
  const double per_token_decode = median(decode);
  const double per_token_prefill = median(prefill) / static_cast<double>(options.tokens) *
                                   static_cast<double>(model.layers()) / static_cast<double>(prefill_layers);
  std::printf(
      "%-6s %-4s %2zu thr  %5.0f MB  read %6.2f GB/s  decode %6.2f GB/s  ratio %.2f   decode %6.1f GMAC/s  "
      "prefill(%zu) %6.1f GMAC/s  prefill/decode cost %.3f%s\n",
      isa.c_str(), type.c_str(), threads, bytes / 1e6, bytes / median(read) / 1e9,
      bytes / per_token_decode / 1e9, median(read) / per_token_decode, macs / per_token_decode / 1e9,
      options.tokens, macs / per_token_prefill / 1e9, per_token_prefill / per_token_decode,
      sink == 1 ? " " : "");
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
      {bench::flag("--isa", "NAME,…", options.isas,
                   [](const std::string& isa) { return compute::choose_kernels(isa).has_value(); }),
       bench::flag("--type", "NAME,…", options.types,
                   [](const std::string& type) { return bench::kTypes.contains(type); }),
       bench::flag("--passes", options.passes), bench::flag("--tokens", options.tokens), bench::clock_flag(),
       bench::flag("--threads", options.threads)});
  for (const std::string& isa : options.isas)
    for (const std::string& type : options.types)
      for (const std::size_t threads : options.threads) bench::measure(options, isa, type, threads);
}
