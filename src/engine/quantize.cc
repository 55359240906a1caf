#include "engine/quantize.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <span>
#include <thread>
#include <vector>

#include "arith/segment_quantiser.h"
#include "arith/weight_quantiser.h"
#include "base/runtime/thread_pool.h"
#include "engine/gguf_writer.h"
#include "engine/native_tensor.h"

namespace cortensor::engine {
namespace {

// Of the new file, made at once by all workers.
constexpr std::size_t kBytesAtOnce = 8 << 20;

// Values of the format's general.file_type.
constexpr std::uint32_t kMostlyQ4_0 = 2;
constexpr std::uint32_t kMostlyQ8_0 = 7;
constexpr std::uint32_t kQuantizationVersion = 2;

bool replaced(std::string_view key) {
  // The writer has its own alignment.
  return key == "general.file_type" || key == "general.quantization_version" || key == "general.alignment" ||
         key == kProfileKey;
}

TensorType type_in_target(const TensorInfo& tensor, TensorType target) {
  if (tensor.rank < 2 || tensor.cols() % arith::kBlock != 0) return tensor.type;
  const bool outer = tensor.name == "token_embd.weight" || tensor.name == "output.weight";
  if (!outer) return target;
  return arith::is_segmented(target) ? TensorType::s8 : TensorType::q8_0;
}

void add_target(TensorType target, GgufWriter& writer) {
  if (arith::is_segmented(target)) return writer.add_string(kProfileKey, kProfile);
  writer.add_u32("general.file_type", target == TensorType::q8_0 ? kMostlyQ8_0 : kMostlyQ4_0);
  writer.add_u32("general.quantization_version", kQuantizationVersion);
}

template <class Block>
bool encode_blocks(std::span<const float> weights, std::uint8_t* out) {
  for (std::size_t i = 0; i < weights.size(); i += arith::kBlock, out += sizeof(Block)) {
    Block block;
    if (!arith::quantise_weights(weights.subspan(i).first<arith::kBlock>(), block)) return false;
    std::memcpy(out, &block, sizeof(Block));
  }
  return true;
}

// A row in the target's type; false if a scale cannot hold it or a weight is not finite.
bool encode_row(TensorType type, std::span<const float> weights, std::uint8_t* out) {
  if (arith::is_segmented(type)) return arith::encode_segments(type, weights, out);
  return type == TensorType::q8_0 ? encode_blocks<arith::BlockQ8>(weights, out)
                                  : encode_blocks<arith::BlockQ4>(weights, out);
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

Result<QuantizeReport> quantize_file(const std::string& in, const std::string& out, TensorType target,
                                     const Progress& progress) {
  const bool native = arith::is_segmented(target);
  if (!native && !arith::is_quantised(target))
    return fail(ErrorKind::invalid_input, "quantize: expected q8_0, q4_0, s8 or s4 as the target");
  std::error_code ignored;
  if (std::filesystem::equivalent(in, out, ignored))
    return fail(ErrorKind::invalid_input, out + ": is the input file itself");
  auto opened = GgufFile::open(in);
  if (!opened) return opened.error();
  const GgufFile& file = *opened;

  GgufWriter writer;
  for (const auto& [key, value] : file.metadata())
    if (!replaced(key)) writer.add_value(key, value);
  add_target(target, writer);
  QuantizeReport report;
  std::uint64_t total = 0;
  for (const TensorInfo& tensor : file.tensors()) {
    report.from_quantised |= arith::is_quantised(tensor.type);
    if (arith::is_segmented(tensor.type) || (!native && arith::is_quantised(tensor.type)))
      return fail(ErrorKind::invalid_input,
                  in + ": tensor " + std::string(tensor.name) + " is quantised already");
    writer.add_tensor(tensor.name, std::span(tensor.dims).first(tensor.rank), type_in_target(tensor, target));
    total += tensor.data.size();
  }
  if (auto status = writer.begin(out); !status) return status.error();

  report.bytes_in = file.bytes().size();
  std::uint64_t done = 0;
  ThreadPool pool(std::max(1u, std::thread::hardware_concurrency()));
  for (const TensorInfo& tensor : file.tensors()) {
    const TensorType type = type_in_target(tensor, target);
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
  }
  if (auto status = writer.finish(); !status) return status.error();
  report.bytes_out = writer.file_size();
  return report;
}

}  // namespace cortensor::engine
