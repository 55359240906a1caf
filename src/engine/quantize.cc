#include "engine/quantize.h"

#include <algorithm>
#include <atomic>
#include <span>
#include <utility>
#include <vector>

#include "arith/segment_quantiser.h"
#include "arith/weight_quantiser.h"
#include "base/runtime/machine.h"
#include "base/runtime/thread_pool.h"
#include "engine/gguf_writer.h"
#include "engine/native_tensor.h"

namespace cortensor::engine {
namespace {

// Of the new file, made at once by all workers.
constexpr std::size_t kBytesAtOnce = 8 << 20;

constexpr std::uint32_t kQuantizationVersion = 2;

// A target, the value of the format's general.file_type for it, and what a matrix becomes whose rows are no
// multiple of 256.
struct Target {
  std::string_view name;
  TensorType type;
  std::uint32_t file_type;
  TensorType ragged;
};
constexpr Target kTargets[] = {
    {"s8", TensorType::s8, 0, TensorType::s8},        {"s4", TensorType::s4, 0, TensorType::s4},
    {"q8_0", TensorType::q8_0, 7, TensorType::q8_0},  {"q6_k", TensorType::q6_k, 18, TensorType::q8_0},
    {"q5_k", TensorType::q5_k, 16, TensorType::q5_1}, {"q5_1", TensorType::q5_1, 9, TensorType::q5_1},
    {"q5_0", TensorType::q5_0, 8, TensorType::q5_0},  {"q4_k", TensorType::q4_k, 14, TensorType::q5_0},
    {"q4_1", TensorType::q4_1, 3, TensorType::q4_1},  {"q4_0", TensorType::q4_0, 2, TensorType::q4_0},
    {"q3_k", TensorType::q3_k, 11, TensorType::q4_0}, {"q2_k", TensorType::q2_k, 10, TensorType::q4_0}};

const Target* find_target(TensorType type) {
  const auto* found = std::find_if(std::begin(kTargets), std::end(kTargets),
                                   [&](const Target& target) { return target.type == type; });
  return found == std::end(kTargets) ? nullptr : found;
}

bool replaced(std::string_view key) {
  // The writer has its own alignment.
  return key == "general.file_type" || key == "general.quantization_version" || key == "general.alignment" ||
         key == kProfileKey;
}

bool whole_blocks(const TensorInfo& tensor, TensorType type) {
  return tensor.cols() % arith::file_block(type).elements == 0;
}

TensorType type_in_target(const TensorInfo& tensor, const Target& target) {
  if (tensor.rank < 2 || tensor.cols() % arith::kBlock != 0) return tensor.type;
  const bool whole = whole_blocks(tensor, target.type);
  const bool outer = tensor.name == "token_embd.weight" || tensor.name == "output.weight";
  if (!outer) return whole ? target.type : target.ragged;
  if (arith::is_segmented(target.type)) return TensorType::s8;
  const bool k_type = arith::file_block(target.type).elements == arith::kSuperBlock;
  return k_type && whole ? TensorType::q6_k : TensorType::q8_0;
}

void add_target(const Target& target, GgufWriter& writer) {
  if (arith::is_segmented(target.type)) return writer.add_string(kProfileKey, kProfile);
  writer.add_u32("general.file_type", target.file_type);
  writer.add_u32("general.quantization_version", kQuantizationVersion);
}

// A row in the target's type; false if a scale cannot hold it or a weight is not finite.
bool encode_row(TensorType type, std::span<const float> weights, std::uint8_t* out) {
  return arith::is_segmented(type) ? arith::encode_segments(type, weights, out)
                                   : arith::quantise_weights(type, weights, out);
}

// Rows [first, end) of the tensor; `out` takes row_bytes(type, cols) of each.
bool encode_rows(const TensorInfo& tensor, TensorType type, Range rows, std::uint8_t* out) {
  const std::size_t in_bytes = tensor.row_bytes(), out_bytes = arith::row_bytes(type, tensor.cols());
  std::vector<float> weights(tensor.cols());
  for (std::size_t row = rows.begin; row < rows.end; ++row, out += out_bytes) {
    arith::widen_row(tensor.type, tensor.data.data() + row * in_bytes, weights);
    if (!encode_row(type, weights, out)) return false;
  }
  return true;
}

// Calls write(bytes of the new tensor, bytes of the old one that they were made from) for all rows in order.
template <class Write>
Status encode_tensor(const TensorInfo& tensor, TensorType type, ThreadPool& pool, Write write) {
  const std::size_t out_bytes = arith::row_bytes(type, tensor.cols());
  const std::size_t rows_at_once = std::max<std::size_t>(1, kBytesAtOnce / out_bytes);
  Bytes bytes;
  for (std::size_t first = 0; first < tensor.rows(); first += rows_at_once) {
    const std::size_t count = std::min<std::size_t>(rows_at_once, tensor.rows() - first);
    bytes.resize(count * out_bytes);
    std::atomic<bool> representable{true};
    pool.run([&](std::size_t worker) {
      const Range part = partition(count, 1, worker, pool.threads());
      const Range rows{first + part.begin, first + part.end};
      if (!encode_rows(tensor, type, rows, bytes.data() + part.begin * out_bytes)) representable = false;
    });
    if (!representable) {
      if (auto status = check_weights(tensor); !status) return status;
      return fail(ErrorKind::corrupt,
                  "tensor " + std::string(tensor.name) + ": expected weights that fit a scale, one does not");
    }
    if (auto status = write(bytes, count * tensor.row_bytes()); !status) return status;
  }
  return ok();
}

}  // namespace

const std::vector<std::string>& quantize_targets() {
  static const std::vector<std::string> kNames = [] {
    std::vector<std::string> names;
    for (const Target& target : kTargets) names.emplace_back(target.name);
    return names;
  }();
  return kNames;
}

std::optional<TensorType> quantize_target(std::string_view name) {
  for (const Target& target : kTargets)
    if (target.name == name) return target.type;
  return std::nullopt;
}

Result<QuantizeReport> quantize_file(const std::string& in, const std::string& out, TensorType target,
                                     const Progress& progress, std::size_t threads) {
  const Target* const chosen = find_target(target);
  if (chosen == nullptr)
    return fail(ErrorKind::invalid_input, "quantize: expected a quantised type as the target");
  const bool native = arith::is_segmented(target);
  auto written = OutputFile::create(out, std::span(&in, 1));
  if (!written) return written.error();
  auto opened = GgufFile::open(in);
  if (!opened) return opened.error();
  const GgufFile& file = *opened;

  GgufWriter writer;
  for (const auto& [key, value] : file.metadata())
    if (!replaced(key)) writer.add_value(key, value);
  add_target(*chosen, writer);
  QuantizeReport report;
  std::uint64_t total = 0;
  for (const TensorInfo& tensor : file.tensors()) {
    report.from_quantised |= arith::is_quantised(tensor.type);
    if (arith::is_segmented(tensor.type) || (!native && arith::is_quantised(tensor.type)))
      return fail(ErrorKind::invalid_input,
                  in + ": tensor " + std::string(tensor.name) + " is quantised already");
    writer.add_tensor(tensor.name, std::span(tensor.dims).first(tensor.rank),
                      type_in_target(tensor, *chosen));
    total += tensor.data.size();
  }
  if (auto status = writer.begin(std::move(*written)); !status) return status.error();

  report.bytes_in = file.bytes().size();
  std::uint64_t done = 0;
  ThreadPool pool(threads > 0 ? threads : usable_processors());
  for (const TensorInfo& tensor : file.tensors()) {
    const TensorType type = type_in_target(tensor, *chosen);
    if (type == tensor.type) {
      if (auto status = check_weights(tensor); !status) return std::move(status).error_context(in);
      if (auto status = writer.write(tensor.data); !status) return status.error();
      ++report.tensors_copied;
      done += tensor.data.size();
      if (progress) progress(done, total);
      continue;
    }
    const Status encoded = encode_tensor(tensor, type, pool, [&](ByteView bytes, std::size_t read) {
      done += read;
      if (progress) progress(done, total);
      return writer.write(bytes);
    });
    if (!encoded) return Status(encoded).error_context(in);
    ++report.tensors_quantized;
    if (!whole_blocks(tensor, target))
      report.other_types.push_back(std::string(tensor.name) + ": " + std::string(find_target(type)->name));
  }
  if (auto status = writer.finish(); !status) return status.error();
  report.bytes_out = writer.file_size();
  return report;
}

}  // namespace cortensor::engine
