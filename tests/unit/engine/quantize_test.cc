// Claims: matrices become blocks near their weights, vectors and ragged matrices stay, metadata stays but for
// the type; every run gives the same bytes; what can not be quantised is refused and leaves no file.
#include "engine/quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <fstream>
#include <iterator>

#include "arith/matmul.h"
#include "arith/philox.h"
#include "arith/weight_quantiser.h"
#include "engine/gguf_writer.h"
#include "engine/mixture.h"
#include "temporary_folder.h"

namespace cortensor::engine {
namespace {

using ::testing::HasSubstr;

std::vector<float> noise(std::size_t count, std::uint32_t stream) {
  std::vector<float> values(count);
  for (std::uint32_t i = 0; i < count; ++i)
    values[i] =
        static_cast<float>(static_cast<std::int32_t>(arith::philox({i, stream, 0, 0}, {9, 9})[0])) * 0x1p-31f;
  return values;
}

struct Source {
  std::vector<float> embedding = noise(64 * 8, 1), matrix = noise(96 * 5, 2), ragged = noise(20 * 3, 3),
                     norm = noise(64, 4);

  void write(const std::string& path) const {
    GgufWriter writer;
    writer.add_string("general.name", "test");
    writer.add_u32("general.file_type", 0);
    const auto add = [&](std::string_view name, std::vector<std::uint64_t> dims) {
      writer.add_tensor(name, dims, TensorType::f32);
    };
    add("token_embd.weight", {64, 8});
    add("blk.0.attn_q.weight", {96, 5});
    add("ragged.weight", {20, 3});
    add("output_norm.weight", {64});
    ASSERT_TRUE(writer.begin(path));
    for (const auto* data : {&embedding, &matrix, &ragged, &norm})
      ASSERT_TRUE(writer.write({reinterpret_cast<const std::uint8_t*>(data->data()), data->size() * 4}));
    ASSERT_TRUE(writer.finish());
  }
};

std::vector<float> widened(const TensorInfo& tensor) {
  std::vector<float> out(tensor.rows() * tensor.cols());
  for (std::size_t r = 0; r < tensor.rows(); ++r)
    arith::embedding_row(tensor.type, tensor.data.data() + r * tensor.row_bytes(),
                         std::span(out).subspan(r * tensor.cols(), tensor.cols()));
  return out;
}

double relative_error(const std::vector<float>& exact, const std::vector<float>& found) {
  double error = 0, size = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    error += std::pow(double{exact[i]} - double{found[i]}, 2);
    size += std::pow(double{exact[i]}, 2);
  }
  return std::sqrt(error / size);
}

std::string read_all(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(Quantize, MatricesBecomeBlocksAndTheRestStays) {
  const TemporaryFolder folder;
  const Source source;
  source.write(folder.path("in"));
  std::uint64_t last = 0, all = 0;
  const auto report =
      quantize_file(folder.path("in"), folder.path("out"), "q4_0",
                    [&](std::uint64_t done, std::uint64_t total) { last = done, all = total; });
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->tensors_quantized, 2u);
  EXPECT_EQ(report->tensors_copied, 2u);
  EXPECT_EQ(last, all);
  EXPECT_EQ(last, 4u * (512 + 480 + 60 + 64));

  const auto file = GgufFile::open(folder.path("out"));
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(report->bytes_out, file->bytes().size());
  EXPECT_EQ(*file->get_u32("general.file_type"), 2u);
  EXPECT_EQ(*file->get_u32("general.quantization_version"), 2u);
  EXPECT_EQ(*file->get_string("general.name"), "test");
  EXPECT_EQ(file->tensor("token_embd.weight")->type, TensorType::q8_0) << "the embedding keeps 8 bits";
  EXPECT_EQ(file->tensor("blk.0.attn_q.weight")->type, TensorType::q4_0);
  EXPECT_EQ(file->tensor("ragged.weight")->type, TensorType::f32);
  EXPECT_LT(relative_error(source.embedding, widened(*file->tensor("token_embd.weight"))), 0.006);
  EXPECT_LT(relative_error(source.matrix, widened(*file->tensor("blk.0.attn_q.weight"))), 0.09);
  EXPECT_EQ(widened(*file->tensor("output_norm.weight")), source.norm);
  EXPECT_TRUE(check_weights(*file));
}

TEST(Quantize, AnInputIsNoOutput) {
  const TemporaryFolder folder;
  Source().write(folder.path("in"));
  const std::string before = read_all(folder.path("in"));
  std::filesystem::create_symlink("in", folder.path("symbolic"));
  std::filesystem::create_hard_link(folder.path("in"), folder.path("hard"));
  for (const char* name : {"in", "symbolic", "hard"}) {
    const auto report = quantize_file(folder.path("in"), folder.path(name), "q8_0");
    ASSERT_FALSE(report) << name;
    EXPECT_THAT(report.error().message, HasSubstr(folder.path(name) + ": is an input file"));
  }
  EXPECT_EQ(read_all(folder.path("in")), before);
  EXPECT_EQ(folder.entries(), 3u);
}

TEST(Quantize, EveryRunGivesTheSameFile) {
  const TemporaryFolder folder;
  Source().write(folder.path("in"));
  for (const char* name : {"a", "b"})
    ASSERT_TRUE(quantize_file(folder.path("in"), folder.path(name), "q8_0"));
  EXPECT_EQ(read_all(folder.path("a")), read_all(folder.path("b")));
  EXPECT_EQ(GgufFile::open(folder.path("a"))->tensor("blk.0.attn_q.weight")->type, TensorType::q8_0);
}

TEST(Quantize, NativeMatricesStayNearTheirWeights) {
  const TemporaryFolder folder;
  const Source source;
  source.write(folder.path("in"));
  for (const auto& [type, outer, matrix] :
       {std::tuple{TensorType::s8, 0.01, 0.01}, {TensorType::s4, 0.01, 0.09}}) {
    const auto report = quantize_file(folder.path("in"), folder.path("out"), lower_name(type));
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_EQ(report->tensors_quantized, 2u);
    EXPECT_FALSE(report->from_quantised);
    const auto file = GgufFile::open(folder.path("out"));
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_TRUE(check_weights(*file));
    EXPECT_EQ(*file->get_string("cortensor.profile"), "S512");
    EXPECT_FALSE(file->has("general.file_type"));
    EXPECT_EQ(file->tensor("token_embd.weight")->type, TensorType::s8) << "the embedding keeps 8 bits";
    EXPECT_EQ(file->tensor("blk.0.attn_q.weight")->type, type);
    EXPECT_EQ(file->tensor("ragged.weight")->type, TensorType::f32);
    EXPECT_LT(relative_error(source.embedding, widened(*file->tensor("token_embd.weight"))), outer);
    EXPECT_LT(relative_error(source.matrix, widened(*file->tensor("blk.0.attn_q.weight"))), matrix);
  }
}

TEST(Quantize, NativeFromQuantisedIsAllowedAndSaid) {
  const TemporaryFolder folder;
  Source().write(folder.path("in"));
  ASSERT_TRUE(quantize_file(folder.path("in"), folder.path("q8"), "q8_0"));
  const auto report = quantize_file(folder.path("q8"), folder.path("s4"), "s4");
  ASSERT_TRUE(report);
  EXPECT_TRUE(report->from_quantised);
  const auto again = quantize_file(folder.path("s4"), folder.path("s8"), "s8");
  ASSERT_FALSE(again);
  EXPECT_THAT(again.error().message, HasSubstr("is quantised already"));
}

// Rows of 96 and of 512; the outer matrices keep more bits.
TEST(Quantize, EveryTargetOnAnyNumberOfThreads) {
  const TemporaryFolder folder;
  const std::vector<float> embedding = noise(256 * 8, 1), ragged = noise(96 * 5, 2),
                           matrix = noise(512 * 7, 3);
  GgufWriter writer;
  writer.add_tensor("token_embd.weight", std::vector<std::uint64_t>{256, 8}, TensorType::f32);
  writer.add_tensor("ragged.weight", std::vector<std::uint64_t>{96, 5}, TensorType::f32);
  writer.add_tensor("matrix.weight", std::vector<std::uint64_t>{512, 7}, TensorType::f32);
  ASSERT_TRUE(writer.begin(folder.path("in")));
  for (const auto* data : {&embedding, &ragged, &matrix})
    ASSERT_TRUE(writer.write({reinterpret_cast<const std::uint8_t*>(data->data()), data->size() * 4}));
  ASSERT_TRUE(writer.finish());

  for (const std::string& name : mixture_names()) {
    const Mixture& mixture = *find_mixture(name);
    if (!arith::is_quantised(mixture.type)) continue;  // the native profile and regular types
    const TensorType target = mixture.type;
    const bool k_type = name.find("_k") != std::string::npos;
    std::string first;
    for (const std::size_t threads : {1u, 2u, 3u}) {
      const auto report = quantize_file(folder.path("in"), folder.path("out"), name, {}, threads);
      ASSERT_TRUE(report) << report.error().message;
      if (threads == 1) first = read_all(folder.path("out"));
      EXPECT_EQ(first, read_all(folder.path("out")));
      EXPECT_EQ(report->other_types.size(), k_type ? 1u : 0u);
    }
    const auto file = GgufFile::open(folder.path("out"));
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_TRUE(check_weights(*file));
    EXPECT_EQ(file->tensor("matrix.weight")->type, target);
    EXPECT_EQ(file->tensor("token_embd.weight")->type, mixture.outer);
    EXPECT_EQ(file->tensor("ragged.weight")->type == target, !k_type);
    // A step of the grid over uniform noise, rounded: 25 % with four levels, 12.5 % with eight.
    const double bound = target == TensorType::q2_k ? 0.25 : target == TensorType::q3_k ? 0.125 : 0.11;
    EXPECT_LT(relative_error(matrix, widened(*file->tensor("matrix.weight"))), bound) << name;
  }
  EXPECT_THAT(quantize_file(folder.path("in"), folder.path("out"), "q9_9").error().message,
              HasSubstr("q9_9"));
}

TEST(Quantize, RegularTypesTakeAnySourceAndRoundOnce) {
  const TemporaryFolder folder;
  Source source;
  source.matrix[0] = 65519.0f;  // the largest numbers that F16 holds are rounded from below 65520
  source.matrix[1] = 0x1.01p+0f;
  source.write(folder.path("in"));
  for (const std::string type : {"f16", "bf16", "f32"}) {
    const auto report = quantize_file(folder.path("in"), folder.path(type), type);
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_FALSE(report->from_quantised);
    const auto file = GgufFile::open(folder.path(type));
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(*file->get_u32("general.file_type"), type == "f16" ? 1u : type == "bf16" ? 32u : 0u);
    EXPECT_EQ(lower_name(file->tensor("ragged.weight")->type), type) << "rows may be of any length";
    EXPECT_EQ(lower_name(file->tensor("token_embd.weight")->type), type);
    EXPECT_EQ(file->tensor("output_norm.weight")->type, TensorType::f32);
    const std::vector<float> found = widened(*file->tensor("blk.0.attn_q.weight"));
    for (std::size_t i = 0; i < found.size(); ++i) {
      const float exact = source.matrix[i];
      EXPECT_EQ(found[i], type == "f16"    ? arith::f16_to_f32(arith::f32_to_f16(exact))
                          : type == "bf16" ? arith::bf16_to_f32(arith::f32_to_bf16(exact))
                                           : exact);
    }
  }
  for (const std::string from : {"q8_0", "s4"}) {
    source.matrix[0] = 1;
    source.write(folder.path("in"));
    ASSERT_TRUE(quantize_file(folder.path("in"), folder.path("small"), from));
    const auto report = quantize_file(folder.path("small"), folder.path("wide"), "f32");
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_TRUE(report->from_quantised);
    const auto small = GgufFile::open(folder.path("small")), wide = GgufFile::open(folder.path("wide"));
    EXPECT_FALSE(wide->has("cortensor.profile"));
    for (const char* name : {"token_embd.weight", "blk.0.attn_q.weight"})
      EXPECT_EQ(widened(*small->tensor(name)), widened(*wide->tensor(name)));
  }
}

TEST(Quantize, WeightsThatBecomeInfiniteAreRefusedByName) {
  const TemporaryFolder folder;
  for (const auto& [type, large] : {std::pair{"f16", 65520.0f}, {"bf16", 0x1.fffffep+127f}}) {
    Source source;
    source.ragged[7] = -large;
    source.write(folder.path("in"));
    const auto report = quantize_file(folder.path("in"), folder.path("out"), type);
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().kind, ErrorKind::corrupt);
    EXPECT_THAT(report.error().message, HasSubstr("tensor ragged.weight: expected weights that"));
  }
  EXPECT_EQ(folder.entries(), 1u);
}

TEST(Quantize, WhatIsQuantisedAlreadyIsRefused) {
  const TemporaryFolder folder;
  Source().write(folder.path("in"));
  ASSERT_TRUE(quantize_file(folder.path("in"), folder.path("q8"), "q8_0"));
  const auto again = quantize_file(folder.path("q8"), folder.path("q4"), "q4_0");
  EXPECT_EQ(again.error().kind, ErrorKind::invalid_input);
  EXPECT_THAT(again.error().message, HasSubstr("token_embd.weight is quantised already"));
  EXPECT_EQ(folder.entries(), 2u);
}

TEST(Quantize, WeightsThatDoNotFitAreRefusedByName) {
  const TemporaryFolder folder;
  for (const float bad : {1e9f, INFINITY, NAN}) {
    Source source;
    source.matrix[100] = bad;
    source.write(folder.path("in"));
    const auto report = quantize_file(folder.path("in"), folder.path("out"), "q4_0");
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().kind, ErrorKind::corrupt);
    EXPECT_THAT(report.error().message, HasSubstr("tensor blk.0.attn_q.weight"));
  }
  Source source;
  source.norm[3] = NAN;
  source.write(folder.path("in"));
  EXPECT_FALSE(quantize_file(folder.path("in"), folder.path("out"), "q4_0"))
      << "kept tensors are checked too";
  EXPECT_EQ(folder.entries(), 1u);
}

// A limit on the size of files stands in for a full disk.
TEST(Quantize, AFullDiskIsAnErrorAndLeavesNothing) {
  const TemporaryFolder folder;
  Source().write(folder.path("in"));
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit low{900, old.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &low), 0);
  const auto report = quantize_file(folder.path("in"), folder.path("out"), "q8_0");
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);
  std::signal(SIGXFSZ, old_handler);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().kind, ErrorKind::unavailable);
  EXPECT_EQ(folder.entries(), 1u);
}

}  // namespace
}  // namespace cortensor::engine
