// What the products' kernels do when nobody disturbs them: one thread, an input made before, matrices with
// the shapes of Llama-3.2-1B; the best and the median of many calls, in billions of multiply-adds a second.
// The first two shapes stay in the second-level cache, the others come from memory: what is between them is
// lost there.
//
//   matmul_bench [--isa amx] [--type q8_0,q4_0] [--tokens 256] [--calls 100]
//
// Quantised and native types.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "bench.h"
#include "compute/backend.h"
#include "compute/cpu/cpu_matrix.h"
#include "compute/cpu/dispatch.h"
#include "compute/cpu/matmul_input.h"
#include "random_rows.h"

namespace cortensor::bench {
namespace {

struct Options {
  std::vector<std::string> isas, types{"q8_0", "q4_0", "s8"};
  std::size_t tokens = 256, calls = 100;
};

struct Shape {
  std::size_t rows, cols, matrices;  // in turns, so that they come from memory
};
constexpr Shape kShapes[] = {
    {64, 2048, 1}, {512, 2048, 1}, {8192, 2048, 4}, {2048, 8192, 4}, {2048, 2048, 12}};

void measure(const Options& options, const compute::KernelTable& kernels, compute::Backend& backend,
             const std::string& type, const Shape& shape) {
  const Bytes rows = random_rows(kTypes.at(type), shape.rows, shape.cols);
  std::vector<std::unique_ptr<compute::Matrix>> matrices;
  for (std::size_t i = 0; i < shape.matrices; ++i) {
    auto matrix = backend.load(kTypes.at(type), shape.rows, shape.cols, rows);
    if (!matrix) return void(std::fprintf(stderr, "%s\n", matrix.error().message.c_str()));
    matrices.push_back(std::move(*matrix));
  }
  std::vector<float> x(shape.cols), out(options.tokens * shape.rows);
  compute::MatmulInput input(kernels);
  const compute::Product products[] = {{matrices[0].get(), out.data()}};
  input.begin(options.tokens, products);
  for (std::size_t t = 0; t < options.tokens; ++t) {
    for (std::size_t i = 0; i < shape.cols; ++i)
      x[i] = static_cast<float>((t * shape.cols + i) * 2654435761u % 1000) * 1e-3f - 0.5f;
    input.put(t, 0, x.data(), shape.cols);
  }
  std::vector<double> seconds;
  for (std::size_t call = 0; call <= options.calls; ++call) {
    const auto& w = static_cast<const compute::CpuMatrix&>(*matrices[call % shape.matrices]);
    compute::MatmulArgs args = input.args(w.type());
    args.weights = w.data();
    args.rows = shape.rows;
    args.end_group = w.groups();
    args.out = out.data();
    const double start = now();
    compute::kernel_of(kernels, w.type())(&args);
    if (call > 0) seconds.push_back(now() - start);
  }
  std::sort(seconds.begin(), seconds.end());
  const double work = 1e-9 * static_cast<double>(shape.rows * shape.cols * options.tokens);
  std::printf("%-6s %-4s %5zu x %4zu by %zu tokens  best %6.1f  median %6.1f GMAC/s\n", kernels.name,
              type.c_str(), shape.rows, shape.cols, options.tokens, work / seconds.front(),
              work / seconds[seconds.size() / 2]);
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
                   [](const std::string& type) {
                     const auto known = bench::kTypes.find(type);
                     return known != bench::kTypes.end() &&
                            (arith::is_quantised(known->second) || arith::is_segmented(known->second));
                   }),
       bench::flag("--tokens", options.tokens), bench::flag("--calls", options.calls)});
  for (const std::string& isa : options.isas) {
    auto kernels = compute::choose_kernels(isa);
    auto backend = compute::make_cpu_backend({1, isa});
    if (!kernels || !backend) {
      std::fprintf(stderr, "%s\n", (kernels ? backend.error() : kernels.error()).message.c_str());
      return 1;
    }
    for (const std::string& type : options.types)
      for (const bench::Shape& shape : bench::kShapes)
        bench::measure(options, **kernels, **backend, type, shape);
  }
}
