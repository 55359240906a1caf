// How near packing weights is to copying them: one thread, processor time, memory that has been touched.
// Passes of both alternate; the ratio of the medians is printed per weight type and width.
//
//   pack_bench [width]...
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "bench.h"
#include "compute/cpu/packing.h"
#include "compute/cpu/segment_matrix.h"
#include "random_rows.h"

namespace cortensor::bench {
namespace {

constexpr std::size_t kRows = 32768, kCols = 2048, kPasses = 7;

template <class F>
double seconds(const F& f) {
  const double begin = now();
  f();
  return now() - begin;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + kPasses / 2, values.end());
  return values[kPasses / 2];
}

void measure(const std::string& name, WeightType type, std::size_t width) {
  const Bytes file = random_rows(type, kRows, kCols);
  std::unique_ptr<compute::CpuMatrix> matrix;
  if (arith::is_segmented(type))
    matrix = std::make_unique<compute::SegmentMatrix>(type, kRows, kCols, width);
  else
    matrix = std::make_unique<compute::PackedMatrix>(type, kRows, kCols, width);
  Bytes copy(file.size());
  std::vector<double> packs, copies;
  bool good = matrix->pack(file.data(), 0, matrix->groups());
  for (std::size_t pass = 0; pass < kPasses; ++pass) {
    copies.push_back(seconds([&] { std::memcpy(copy.data(), file.data(), file.size()); }));
    packs.push_back(seconds([&] { good &= matrix->pack(file.data(), 0, matrix->groups()); }));
  }
  const auto bytes = static_cast<double>(file.size());
  std::printf("%-5s width %2zu  copy %6.2f GB/s  pack %6.2f GB/s  ratio %.2f%s\n", name.c_str(), width,
              bytes / median(copies) / 1e9, bytes / median(packs) / 1e9, median(copies) / median(packs),
              good ? "" : "  refused");
  std::fflush(stdout);
}

}  // namespace
}  // namespace cortensor::bench

int main(int argc, char** argv) {
  cortensor::bench::g_cpu_clock = true;
  std::vector<std::size_t> widths;
  for (int i = 1; i < argc; ++i)
    if (!cortensor::bench::read_number(argv[i], widths.emplace_back())) {
      std::fprintf(stderr, "usage: %s [WIDTH…]\n", argv[0]);
      return 2;
    }
  if (widths.empty()) widths = {8, 16};
  for (const auto& [name, type] : cortensor::bench::kTypes)
    for (const std::size_t width : widths) cortensor::bench::measure(name, type, width);
}
