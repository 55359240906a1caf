#include "convert/convert.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "arith/blocks.h"
#include "convert/hf_config.h"
#include "convert/hf_tokenizer.h"
#include "convert/hf_weights.h"
#include "engine/gguf_writer.h"
#include "engine/tokenizer.h"

namespace cortensor::convert {
namespace {

using engine::TensorInfo;
using engine::TensorType;

constexpr std::size_t kPiece = 8 << 20;

// Values of the format's general.file_type.
constexpr std::uint32_t kAllF32 = 0, kMostlyF16 = 1, kMostlyBf16 = 32;

// A tensor of the model under its two names.
struct Part {
  std::string theirs, ours;
  std::vector<std::uint64_t> shape;  // outermost dimension first; one of rank 1 becomes F32
  std::uint32_t heads = 0;           // of rotated rows, which stand in another order there; else 0
};

std::vector<Part> parts_of(const HfConfig& c) {
  const std::uint64_t dim = c.dim, ffn = c.ffn_dim, q = std::uint64_t{c.heads} * c.head_dim,
                      kv = std::uint64_t{c.kv_heads} * c.head_dim;
  std::vector<Part> parts{{"model.embed_tokens.weight", "token_embd.weight", {c.vocab_size, dim}}};
  for (std::uint32_t l = 0; l < c.layers; ++l) {
    const std::string theirs = "model.layers." + std::to_string(l) + ".",
                      ours = "blk." + std::to_string(l) + ".";
    const auto add = [&](const char* from, const char* to, std::vector<std::uint64_t> shape,
                         std::uint32_t heads = 0) {
      parts.push_back({theirs + from + ".weight", ours + to + ".weight", std::move(shape), heads});
    };
    add("input_layernorm", "attn_norm", {dim});
    add("self_attn.q_proj", "attn_q", {q, dim}, c.heads);
    add("self_attn.k_proj", "attn_k", {kv, dim}, c.kv_heads);
    add("self_attn.v_proj", "attn_v", {kv, dim});
    add("self_attn.o_proj", "attn_output", {dim, q});
    add("post_attention_layernorm", "ffn_norm", {dim});
    add("mlp.gate_proj", "ffn_gate", {ffn, dim});
    add("mlp.up_proj", "ffn_up", {ffn, dim});
    add("mlp.down_proj", "ffn_down", {dim, ffn});
  }
  parts.push_back({"model.norm.weight", "output_norm.weight", {dim}});
  if (!c.tied) parts.push_back({"lm_head.weight", "output.weight", {c.vocab_size, dim}});
  return parts;
}

Result<TensorType> type_of(const StoredTensor& tensor) {
  if (tensor.dtype == "F32") return TensorType::f32;
  if (tensor.dtype == "F16") return TensorType::f16;
  if (tensor.dtype == "BF16") return TensorType::bf16;
  return fail(ErrorKind::unsupported, "expected F32, F16 or BF16, found " + tensor.dtype);
}

std::string text_of_shape(const std::vector<std::uint64_t>& shape) {
  std::string text = "[";
  for (const std::uint64_t size : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

// What the model needs is there, in the right shape; what is there and not needed is known to be of no use.
Status check_parts(const HfWeights& weights, const HfConfig& config, const std::vector<Part>& parts) {
  std::set<std::string> known;
  for (const Part& part : parts) {
    known.insert(part.theirs);
    const StoredTensor* tensor = weights.find(part.theirs);
    if (tensor == nullptr) return fail(ErrorKind::corrupt, "tensor " + part.theirs + ": missing");
    if (tensor->shape != part.shape)
      return fail(ErrorKind::corrupt, "tensor " + part.theirs + ": expected " + text_of_shape(part.shape) +
                                          ", found " + text_of_shape(tensor->shape));
    if (const auto type = type_of(*tensor); !type)
      return Error(type.error()).context("tensor " + part.theirs);
  }
  for (const std::string& name : weights.names()) {
    const bool useless = name.ends_with(".rotary_emb.inv_freq") || (config.tied && name == "lm_head.weight");
    if (!known.contains(name) && !useless)
      return fail(ErrorKind::unsupported, "tensor " + name.substr(0, 128) + ": a Llama has no such tensor");
  }
  return ok();
}

// A tokenizer can be made from the metadata, as whoever loads the file will make it.
Status check_tokenizer(const engine::GgufWriter& metadata) {
  const Bytes bytes = metadata.to_bytes({});
  const auto file = engine::GgufFile::parse(bytes);
  if (!file) return file.error();
  if (const auto tokenizer = engine::Tokenizer::from_gguf(*file); !tokenizer) return tokenizer.error();
  return ok();
}

TensorInfo info_of(const Part& part, const StoredTensor& tensor) {
  TensorInfo info{part.theirs,
                  *type_of(tensor),
                  static_cast<std::uint32_t>(part.shape.size()),
                  {1, 1, 1, 1},
                  tensor.data};
  std::copy(part.shape.rbegin(), part.shape.rend(), info.dims.begin());
  return info;
}

class Writing {
 public:
  Writing(engine::GgufWriter& writer, const engine::Progress& progress, std::uint64_t total)
      : writer_(writer), progress_(progress), total_(total) {}

  Status bytes(ByteView data) {
    for (std::size_t at = 0; at < data.size(); at += kPiece) {
      const ByteView piece = data.subspan(at, std::min(kPiece, data.size() - at));
      if (auto status = writer_.write(piece); !status) return status;
      done_ += piece.size();
      if (progress_) progress_(std::min(done_, total_), total_);
    }
    return ok();
  }

  Status vector(TensorType type, ByteView data) {
    std::vector<float> values(data.size() / arith::file_block(type).bytes);
    arith::widen_row(type, data.data(), values);
    return bytes({reinterpret_cast<const std::uint8_t*>(values.data()), values.size() * sizeof(float)});
  }

  // There the two halves of a head are rotated against each other, here neighbours are: row i of the first
  // half and row i of the second become rows 2i and 2i + 1.
  Status rotated(const Part& part, ByteView data) {
    const std::size_t row = data.size() / part.shape[0];
    const std::size_t head = part.shape[0] / part.heads;
    Bytes sorted(head * row);
    for (std::size_t h = 0; h < part.heads; ++h) {
      for (std::size_t i = 0; i < head; ++i)
        std::memcpy(&sorted[i * row], &data[(h * head + i / 2 + i % 2 * (head / 2)) * row], row);
      if (auto status = bytes(sorted); !status) return status;
    }
    return ok();
  }

 private:
  engine::GgufWriter& writer_;
  const engine::Progress& progress_;
  std::uint64_t done_ = 0, total_;
};

}  // namespace

Result<ConvertReport> convert_folder(const std::string& folder, const std::string& name,
                                     const std::string& out, const engine::Progress& progress) {
  const auto config = read_hf_config(folder);
  if (!config) return config.error();
  const auto weights = HfWeights::open(folder);
  if (!weights) return weights.error();
  std::vector<std::string> inputs = weights->paths();
  for (const char* read : {"config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"})
    inputs.push_back((std::filesystem::path(folder) / read).string());
  auto file = engine::OutputFile::create(out, inputs);
  if (!file) return file.error();
  const std::vector<Part> parts = parts_of(*config);
  if (auto status = check_parts(*weights, *config, parts); !status)
    return std::move(status).error_context(folder);

  const TensorType matrices = *type_of(*weights->find(parts.front().theirs));
  const std::vector<float> rope_factors = config->rope_factors();
  engine::GgufWriter writer;
  writer.add_string("general.architecture", "llama");
  writer.add_string("general.name", name);
  writer.add_u32("general.file_type", matrices == TensorType::f32   ? kAllF32
                                      : matrices == TensorType::f16 ? kMostlyF16
                                                                    : kMostlyBf16);
  config->add_to(writer);
  if (auto status = add_hf_tokenizer(folder, *config, writer); !status) return status.error();
  if (auto status = check_tokenizer(writer); !status) return std::move(status).error_context(folder);

  ConvertReport report;
  std::uint64_t total = 0;
  for (const Part& part : parts) {
    const StoredTensor& tensor = *weights->find(part.theirs);
    const TensorInfo info = info_of(part, tensor);
    writer.add_tensor(part.ours, std::span(info.dims).first(info.rank),
                      info.rank == 1 ? TensorType::f32 : info.type);
    report.parameters += tensor.data.size() / arith::file_block(info.type).bytes;
    total += tensor.data.size();
  }
  if (!rope_factors.empty())
    writer.add_tensor("rope_freqs.weight", std::vector<std::uint64_t>{rope_factors.size()}, TensorType::f32);
  report.tensors = static_cast<std::uint32_t>(parts.size() + !rope_factors.empty());
  report.bytes = writer.file_size();

  if (auto status = writer.begin(std::move(*file)); !status) return status.error();
  Writing writing(writer, progress, total);
  for (const Part& part : parts) {
    const StoredTensor& tensor = *weights->find(part.theirs);
    if (auto finite = engine::check_weights(info_of(part, tensor)); !finite)
      return std::move(finite).error_context(folder);
    const Status status = part.shape.size() == 1 ? writing.vector(*type_of(tensor), tensor.data)
                          : part.heads != 0      ? writing.rotated(part, tensor.data)
                                                 : writing.bytes(tensor.data);
    if (!status) return status.error();
  }
  if (!rope_factors.empty())
    if (auto status = writing.bytes({reinterpret_cast<const std::uint8_t*>(rope_factors.data()),
                                     rope_factors.size() * sizeof(float)});
        !status)
      return status.error();
  if (auto status = writer.finish(); !status) return status.error();
  return report;
}

}  // namespace cortensor::convert
