#include "engine/made_model.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "arith/segment_quantiser.h"
#include "base/check.h"
#include "engine/gguf_writer.h"
#include "engine/mixture.h"
#include "engine/native_tensor.h"

namespace cortensor::engine {
namespace {

constexpr ModelShape kShapes[] = {{"llama-3.2-1b", 2048, 16, 32, 8, 64, 8192, 131072, true},
                                  {"llama-3.2-3b", 3072, 28, 24, 8, 128, 8192, 131072, true},
                                  {"llama-3-8b", 4096, 32, 32, 8, 128, 14336, 8192, false},
                                  {"llama-3-70b", 8192, 80, 64, 8, 128, 28672, 8192, false}};

constexpr std::uint32_t kVocabulary = 128256, kFirstSpecial = 128000, kBos = 128000, kEos = 128001,
                        kEot = 128009;
constexpr std::size_t kPool = 4 << 20;

std::uint64_t next_random(std::uint64_t& state) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state >> 32;
}

// Rows of a native type are made from numbers, a few of them.
Bytes make_rows(TensorType type, std::size_t cols, std::uint64_t& state) {
  constexpr std::size_t kRows = 16;
  const std::size_t size = arith::row_bytes(type, cols);
  Bytes rows(kRows * size);
  std::vector<float> values(cols);
  for (std::size_t row = 0; row < kRows; ++row) {
    for (float& value : values) value = static_cast<float>(next_random(state) % 2001) * 4e-5f - 0.04f;
    CORTENSOR_CHECK(arith::encode_segments(type, values, &rows[row * size]));
  }
  return rows;
}

// Some weights of the type for rows of `cols`, to be repeated. Of a file's own types they are random bits,
// with the numbers and scales among them small and finite.
Bytes make_pool(TensorType type, std::size_t cols) {
  std::uint64_t state = 88172645463325252u;
  if (arith::is_segmented(type)) return make_rows(type, cols, state);
  const arith::FileBlock block = arith::file_block(type);
  Bytes pool(kPool / block.bytes * block.bytes);
  for (std::uint8_t& byte : pool) byte = static_cast<std::uint8_t>(next_random(state));
  for (std::size_t at = 0; at < pool.size(); at += block.bytes) {
    const auto top = [&](std::size_t offset, int keep, int set) {
      pool[at + offset] = static_cast<std::uint8_t>((pool[at + offset] & keep) | set);
    };
    if (type == TensorType::f32) top(3, 0x80, 0x3c);
    if (type == TensorType::bf16) top(1, 0x80, 0x3c);
    if (type == TensorType::f16) top(1, 0x83, 0x20);
    for (std::size_t s = 0; s < block.scales; ++s) top(block.first_scale + 2 * s + 1, 0x03, 0x0c);
  }
  return pool;
}

struct Part {
  std::string name;
  std::vector<std::uint64_t> dims;
  TensorType type;
};

std::vector<Part> parts_of(const ModelShape& m, const Mixture& mixture) {
  const Outline outline{m.layers, m.heads / m.kv_heads, m.tied};
  std::vector<Part> parts;
  const auto matrix = [&](std::string name, std::uint64_t cols, std::uint64_t rows) {
    const TensorType type = type_in(mixture, outline, name, cols);
    parts.push_back({std::move(name), {cols, rows}, type});
  };
  const auto norm = [&](std::string name) { parts.push_back({std::move(name), {m.dim}, TensorType::f32}); };
  const std::uint64_t q = std::uint64_t{m.heads} * m.head_dim, kv = std::uint64_t{m.kv_heads} * m.head_dim;
  matrix("token_embd.weight", m.dim, kVocabulary);
  for (std::uint32_t l = 0; l < m.layers; ++l) {
    const std::string prefix = "blk." + std::to_string(l) + ".";
    norm(prefix + "attn_norm.weight");
    matrix(prefix + "attn_q.weight", m.dim, q);
    matrix(prefix + "attn_k.weight", m.dim, kv);
    matrix(prefix + "attn_v.weight", m.dim, kv);
    matrix(prefix + "attn_output.weight", q, m.dim);
    norm(prefix + "ffn_norm.weight");
    matrix(prefix + "ffn_gate.weight", m.dim, m.ffn_dim);
    matrix(prefix + "ffn_up.weight", m.dim, m.ffn_dim);
    matrix(prefix + "ffn_down.weight", m.ffn_dim, m.dim);
  }
  norm("output_norm.weight");
  if (!m.tied) matrix("output.weight", m.dim, kVocabulary);
  return parts;
}

// All bytes, then words of letters with the merges that make them, then the control tokens.
void add_vocabulary(GgufWriter& writer) {
  constexpr std::int32_t kNormal = 1, kControl = 3;
  std::vector<std::string> tokens, merges;
  std::uint32_t next = 0x100;
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    const bool visible = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    const std::uint32_t code = visible ? byte : next++;
    tokens.push_back(code < 0x80 ? std::string(1, static_cast<char>(code))
                                 : std::string{static_cast<char>(0xc0 | code >> 6),
                                               static_cast<char>(0x80 | (code & 63))});
  }
  // A word is a letter and an earlier word or letter: "aa", "ba", …, "aaa", …
  for (std::size_t word = 0; tokens.size() < kFirstSpecial; ++word) {
    const std::string first(1, static_cast<char>('a' + word % 26));
    const std::string rest =
        word < 26 * 26 ? std::string(1, static_cast<char>('a' + word / 26)) : tokens[256 + (word / 26 - 26)];
    tokens.push_back(first + rest);
    merges.push_back(first + " " + rest);
  }
  std::vector<std::int32_t> types(tokens.size(), kNormal);
  for (std::uint32_t id = kFirstSpecial; id < kVocabulary; ++id) {
    tokens.push_back(id == kBos                ? "<|begin_of_text|>"
                     : id == kEos              ? "<|end_of_text|>"
                     : id == kEot              ? "<|eot_id|>"
                     : id == kFirstSpecial + 6 ? "<|start_header_id|>"
                     : id == kFirstSpecial + 7
                         ? "<|end_header_id|>"
                         : "<|reserved_special_token_" + std::to_string(id - kFirstSpecial) + "|>");
    types.push_back(kControl);
  }
  writer.add_string("tokenizer.ggml.model", "gpt2");
  writer.add_string("tokenizer.ggml.pre", "llama-bpe");
  writer.add_strings("tokenizer.ggml.tokens", tokens);
  writer.add_i32s("tokenizer.ggml.token_type", types);
  writer.add_strings("tokenizer.ggml.merges", merges);
  writer.add_u32("tokenizer.ggml.bos_token_id", kBos);
  writer.add_u32("tokenizer.ggml.eos_token_id", kEos);
  writer.add_u32("tokenizer.ggml.eot_token_id", kEot);
  writer.add_bool("tokenizer.ggml.add_bos_token", true);
}

void add_config(const ModelShape& m, GgufWriter& writer) {
  writer.add_string("general.architecture", "llama");
  writer.add_string("general.name", std::string(m.name) + " shape, random weights");
  writer.add_u32("llama.vocab_size", kVocabulary);
  writer.add_u32("llama.context_length", m.context_length);
  writer.add_u32("llama.embedding_length", m.dim);
  writer.add_u32("llama.block_count", m.layers);
  writer.add_u32("llama.feed_forward_length", m.ffn_dim);
  writer.add_u32("llama.attention.head_count", m.heads);
  writer.add_u32("llama.attention.head_count_kv", m.kv_heads);
  writer.add_u32("llama.attention.key_length", m.head_dim);
  writer.add_u32("llama.attention.value_length", m.head_dim);
  writer.add_u32("llama.rope.dimension_count", m.head_dim);
  writer.add_f32("llama.rope.freq_base", 500000.0f);
  writer.add_f32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
}

// All of the file but the tensors' bytes.
struct Plan {
  GgufWriter writer;
  std::vector<Part> parts;
};

Result<Plan> plan_of(const ModelShape& shape, std::string_view type) {
  const Mixture* const mixture = find_mixture(type);
  if (mixture == nullptr)
    return fail(ErrorKind::invalid_input, "type '" + std::string(type) + "': not known");
  Plan plan{{}, parts_of(shape, *mixture)};
  add_config(shape, plan.writer);
  add_vocabulary(plan.writer);
  if (arith::is_segmented(mixture->type)) plan.writer.add_string(kProfileKey, kProfile);
  for (const Part& part : plan.parts) plan.writer.add_tensor(part.name, part.dims, part.type);
  return plan;
}

}  // namespace

std::span<const ModelShape> known_shapes() {
  return kShapes;
}

Result<std::uint64_t> made_model_size(const ModelShape& shape, std::string_view type) {
  const auto plan = plan_of(shape, type);
  if (!plan) return plan.error();
  return plan->writer.file_size();
}

Status write_made_model(const ModelShape& shape, std::string_view type, OutputFile file,
                        const Progress& progress) {
  auto plan = plan_of(shape, type);
  if (!plan) return plan.error();
  auto& [writer, parts] = *plan;
  const std::uint64_t total = writer.file_size();
  if (auto status = writer.begin(std::move(file)); !status) return status;

  std::map<std::pair<TensorType, std::size_t>, Bytes> pools;
  const std::vector<float> ones(shape.dim, 1.0f);
  std::uint64_t done = 0;
  for (std::size_t p = 0; p < parts.size(); ++p) {
    const Part& part = parts[p];
    if (part.dims.size() == 1) {
      if (auto status =
              writer.write({reinterpret_cast<const std::uint8_t*>(ones.data()), ones.size() * sizeof(float)});
          !status)
        return status;
      continue;
    }
    const bool native = arith::is_segmented(part.type);
    const std::size_t row = arith::row_bytes(part.type, part.dims[0]);
    Bytes& pool = pools[{part.type, native ? part.dims[0] : 0}];
    if (pool.empty()) pool = make_pool(part.type, part.dims[0]);
    const std::size_t unit = native ? row : arith::file_block(part.type).bytes, units = pool.size() / unit;
    std::size_t left = part.dims[1] * row;
    for (std::size_t at = p * 7919 % units * unit; left > 0; at = 0) {  // each tensor begins elsewhere
      const std::size_t size = std::min(left, pool.size() - at);
      if (auto status = writer.write(ByteView(pool).subspan(at, size)); !status) return status;
      left -= size;
      done += size;
      if (progress) progress(done, total);
    }
  }
  return writer.finish();
}

}  // namespace cortensor::engine
