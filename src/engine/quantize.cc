#include "engine/quantize.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <span>
#include <vector>

#include "arith/weight_quantiser.h"
#include "engine/gguf_writer.h"

namespace cortensor::engine {
namespace {

constexpr std::size_t kBlocksAtOnce = 1 << 13;

// Values of the format's general.file_type.
constexpr std::uint32_t kMostlyQ4_0 = 2;
constexpr std::uint32_t kMostlyQ8_0 = 7;
constexpr std::uint32_t kQuantizationVersion = 2;

bool replaced(std::string_view key) {
  // The writer has its own alignment.
  return key == "general.file_type" || key == "general.quantization_version" || key == "general.alignment";
}

TensorType type_in_target(const TensorInfo& tensor, TensorType target) {
  if (tensor.rank < 2 || tensor.cols() % arith::kBlock != 0) return tensor.type;
  const bool outer = tensor.name == "token_embd.weight" || tensor.name == "output.weight";
  return outer ? TensorType::q8_0 : target;
}

template <class Block>
bool quantise_blocks(std::span<const float> weights, Bytes& out) {
  const std::size_t blocks = weights.size() / arith::kBlock;
  out.resize(blocks * sizeof(Block));
  for (std::size_t i = 0; i < blocks; ++i) {
    Block block;
    if (!arith::quantise_weights(
            std::span<const float, arith::kBlock>(&weights[i * arith::kBlock], arith::kBlock), block))
      return false;
    std::memcpy(out.data() + i * sizeof(Block), &block, sizeof(Block));
  }
  return true;
}

}  // namespace

Result<QuantizeReport> quantize_file(const std::string& in, const std::string& out, TensorType target,
                                     const Progress& progress) {
  if (!arith::is_quantised(target))
    return fail(ErrorKind::invalid_input, "quantize: expected q8_0 or q4_0 as the target");
  std::error_code ignored;
  if (std::filesystem::equivalent(in, out, ignored))
    return fail(ErrorKind::invalid_input, out + ": is the input file itself");
  auto opened = GgufFile::open(in);
  if (!opened) return opened.error();
  const GgufFile& file = *opened;

  GgufWriter writer;
  for (const auto& [key, value] : file.metadata())
    if (!replaced(key)) writer.add_value(key, value);
  writer.add_u32("general.file_type", target == TensorType::q8_0 ? kMostlyQ8_0 : kMostlyQ4_0);
  writer.add_u32("general.quantization_version", kQuantizationVersion);
  std::uint64_t total = 0;
  for (const TensorInfo& tensor : file.tensors()) {
    if (arith::is_quantised(tensor.type))
      return fail(ErrorKind::invalid_input,
                  in + ": tensor " + std::string(tensor.name) + " is quantised already");
    writer.add_tensor(tensor.name, std::span(tensor.dims).first(tensor.rank), type_in_target(tensor, target));
    total += tensor.data.size();
  }
  if (auto status = writer.begin(out); !status) return status.error();

  QuantizeReport report;
  report.bytes_in = file.bytes().size();
  std::uint64_t done = 0;
  std::vector<float> weights;
  Bytes blocks;
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
    // Rows are whole blocks, so the tensor is one long row.
    const std::size_t size = arith::file_block(tensor.type).bytes;
    const std::size_t elements = tensor.data.size() / size;
    for (std::size_t at = 0; at < elements;) {
      weights.resize(std::min(elements - at, kBlocksAtOnce * arith::kBlock));
      arith::widen_row(tensor.type, tensor.data.data() + at * size, weights);
      const bool representable = type == TensorType::q8_0 ? quantise_blocks<arith::BlockQ8>(weights, blocks)
                                                          : quantise_blocks<arith::BlockQ4>(weights, blocks);
      if (!representable) {
        if (auto status = check_weights(tensor); !status) return std::move(status).error_context(in);
        return fail(ErrorKind::corrupt, in + ": tensor " + std::string(tensor.name) +
                                            ": expected weights that fit a 16-bit scale, one does not");
      }
      if (auto status = writer.write(blocks); !status) return status.error();
      at += weights.size();
      done += weights.size() * size;
      if (progress) progress(done, total);
    }
    ++report.tensors_quantized;
  }
  if (auto status = writer.finish(); !status) return status.error();
  report.bytes_out = writer.file_size();
  return report;
}

}  // namespace cortensor::engine
