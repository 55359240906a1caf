#include "engine/quantize.h"

#include <algorithm>
#include <atomic>
#include <span>
#include <utility>
#include <vector>

#include "arith/matmul.h"
#include "arith/segment_quantiser.h"
#include "arith/weight_quantiser.h"
#include "base/runtime/machine.h"
#include "base/runtime/thread_pool.h"
#include "engine/gguf_writer.h"
#include "engine/mixture.h"
#include "engine/native_tensor.h"

namespace cortensor::engine {
namespace {

// Of the new file, made at once by all workers.
constexpr std::size_t kBytesAtOnce = 8 << 20;

constexpr std::uint32_t kQuantizationVersion = 2;

bool replaced(std::string_view key) {
  // The writer has its own alignment.
  return key == "general.file_type" || key == "general.quantization_version" || key == "general.alignment" ||
         key == kProfileKey;
}

bool is_regular(TensorType type) {
  return !arith::is_quantised(type) && !arith::is_segmented(type);
}

TensorType new_type(const TensorInfo& tensor, const Mixture& target, const Outline& outline) {
  if (tensor.rank < 2) return tensor.type;
  const TensorType type = type_in(target, outline, tensor.name, tensor.cols());
  return is_regular(type) || tensor.cols() % arith::kBlock == 0 ? type : tensor.type;
}

void add_target(const Mixture& target, GgufWriter& writer) {
  if (arith::is_segmented(target.type)) return writer.add_string(kProfileKey, kProfile);
  writer.add_u32("general.file_type", target.file_type);
  writer.add_u32("general.quantization_version", kQuantizationVersion);
}

// A row in the target's type; false if that cannot hold it or a weight is not finite.
bool encode_row(TensorType type, std::span<const float> weights, std::uint8_t* out) {
  return arith::is_segmented(type) ? arith::encode_segments(type, weights, out)
                                   : arith::quantise_weights(type, weights, out);
}

// Rows [first, end) of the tensor; `out` takes row_bytes(type, cols) of each.
bool encode_rows(const TensorInfo& tensor, TensorType type, Range rows, std::uint8_t* out) {
  const std::size_t in_bytes = tensor.row_bytes(), out_bytes = arith::row_bytes(type, tensor.cols());
  std::vector<float> weights(tensor.cols());
  for (std::size_t row = rows.begin; row < rows.end; ++row, out += out_bytes) {
    arith::embedding_row(tensor.type, tensor.data.data() + row * in_bytes, weights);
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
      return fail(ErrorKind::corrupt, "tensor " + std::string(tensor.name) + ": expected weights that " +
                                          std::string(to_string(type)) + " can hold, one is too large");
    }
    if (auto status = write(bytes, count * tensor.row_bytes()); !status) return status;
  }
  return ok();
}

}  // namespace

Result<QuantizeReport> quantize_file(const std::string& in, const std::string& out, std::string_view target,
                                     const Progress& progress, std::size_t threads) {
  const Mixture* const mixture = find_mixture(target);
  if (mixture == nullptr)
    return fail(ErrorKind::invalid_input, "quantize: '" + std::string(target) + "' is no type of weights");
  const bool native = arith::is_segmented(mixture->type), regular = is_regular(mixture->type);
  auto written = OutputFile::create(out, std::span(&in, 1));
  if (!written) return written.error();
  auto opened = GgufFile::open(in);
  if (!opened) return opened.error();
  const GgufFile& file = *opened;

  const Outline outline = outline_of(file);
  GgufWriter writer;
  for (const auto& [key, value] : file.metadata())
    if (!replaced(key)) writer.add_value(key, value);
  add_target(*mixture, writer);
  QuantizeReport report;
  std::uint64_t total = 0;
  for (const TensorInfo& tensor : file.tensors()) {
    report.from_quantised |= !is_regular(tensor.type);
    if (!is_regular(tensor.type) && !regular && !(native && arith::is_quantised(tensor.type)))
      return fail(ErrorKind::invalid_input,
                  in + ": tensor " + std::string(tensor.name) + " is quantised already");
    writer.add_tensor(tensor.name, std::span(tensor.dims).first(tensor.rank),
                      new_type(tensor, *mixture, outline));
    total += tensor.data.size();
  }
  if (auto status = writer.begin(std::move(*written)); !status) return status.error();

  report.bytes_in = file.bytes().size();
  std::uint64_t done = 0;
  ThreadPool pool(threads > 0 ? threads : usable_processors());
  for (const TensorInfo& tensor : file.tensors()) {
    const TensorType type = new_type(tensor, *mixture, outline);
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
    if (tensor.cols() % arith::file_block(mixture->type).elements != 0)
      report.other_types.push_back(std::string(tensor.name) + ": " + lower_name(type));
  }
  if (auto status = writer.finish(); !status) return status.error();
  report.bytes_out = writer.file_size();
  return report;
}

}  // namespace cortensor::engine
