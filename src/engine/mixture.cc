#include "engine/mixture.h"

#include <algorithm>
#include <cctype>
#include <charconv>

namespace cortensor::engine {
namespace {

using enum arith::WeightType;
using enum Layers;

constexpr Mixture kMixtures[] = {
    {"s8", s8, s8, 0},
    {"s4", s4, s8, 0},
    {"f32", f32, f32, 0},
    {"bf16", bf16, bf16, 32},
    {"f16", f16, f16, 1},
    {"q8_0", q8_0, q8_0, 7},
    {"q6_k", q6_k, q6_k, 18},
    {"q5_k_m", q5_k, q6_k, 17, true, {spread, q6_k, q5_k}, {spread, q6_k, q5_k}},
    {"q5_k_s", q5_k, q6_k, 16, true},
    {"q5_k", q5_k, q6_k, 16},
    {"q5_1", q5_1, q6_k, 9},
    {"q5_0", q5_0, q6_k, 8},
    {"q4_k_m", q4_k, q6_k, 15, true, {spread, q6_k, q4_k}, {spread, q6_k, q4_k}},
    {"q4_k_s", q4_k, q6_k, 14, true, {first_four, q5_k, q4_k}, {first_eighth, q5_k, q4_k}},
    {"q4_k", q4_k, q6_k, 14},
    {"q4_1", q4_1, q6_k, 3},
    {"q4_0", q4_0, q6_k, 2},
    {"q3_k_l", q3_k, q6_k, 13, true, {all, q5_k}, {all, q5_k}, {all, q5_k}},
    {"q3_k_m", q3_k, q6_k, 12, true, {first_two, q5_k, q4_k}, {first_sixteenth, q5_k, q4_k}, {all, q4_k}},
    {"q3_k_s", q3_k, q6_k, 11, true},
    {"q3_k", q3_k, q6_k, 11},
    {"q2_k", q2_k, q6_k, 10, true, {with_shared_keys, q4_k, q3_k}, {all, q3_k}, {all, q3_k}}};

constexpr std::string_view kEmbedding = "token_embd.weight", kOutput = "output.weight";

bool has_better(Layers layers, std::uint32_t layer, const Outline& outline) {
  const std::uint32_t count = outline.layers, eighth = count / 8;
  switch (layers) {
    case none:
      return false;
    case all:
      return true;
    case first_two:
      return layer < 2;
    case first_four:
      return layer < 4;
    case first_sixteenth:
      return layer < count / 16;
    case first_eighth:
      return layer < eighth;
    case spread:  // the first and last eighth, and every third between
      return layer < eighth || layer >= 7 * count / 8 || (layer - eighth) % 3 == 2;
    case with_shared_keys:
      return outline.heads_per_key >= 4;
  }
  return false;
}

// "blk.LAYER.PART.weight"
TensorType type_in_layer(const Mixture& mixture, const Outline& outline, std::string_view tensor) {
  std::uint32_t layer = 0;
  if (tensor.starts_with("blk.")) std::from_chars(tensor.data() + 4, tensor.data() + tensor.size(), layer);
  const auto choose = [&](const Better& better) {
    if (better.layers == none) return mixture.type;
    return has_better(better.layers, layer, outline) ? better.there : better.elsewhere;
  };
  if (tensor.ends_with(".ffn_down.weight")) return choose(mixture.ffn_down);
  if (tensor.ends_with(".attn_output.weight")) return choose(mixture.attn_output);
  if (!tensor.ends_with(".attn_v.weight")) return mixture.type;
  const TensorType type = choose(mixture.attn_v);
  // In the shape of 70 billion weights values take an eighth of what queries do.
  const bool cheap = mixture.mixed && outline.layers == 80 && outline.heads_per_key > 1;
  return cheap && (type == q3_k || type == q4_k) ? q5_k : type;
}

// What has as many bits for rows that are no multiple of 256.
TensorType of_32(TensorType type) {
  switch (type) {
    case q6_k:
      return q8_0;
    case q5_k:
      return q5_1;
    case q4_k:
      return q5_0;
    case q3_k:
    case q2_k:
      return q4_0;
    default:
      return type;
  }
}

}  // namespace

Outline outline_of(const GgufFile& file) {
  Outline outline;
  outline.tied = file.find_tensor(kOutput) == nullptr;
  for (const TensorInfo& tensor : file.tensors()) outline.layers += tensor.name.ends_with(".attn_v.weight");
  const TensorInfo* q = file.find_tensor("blk.0.attn_q.weight");
  const TensorInfo* v = file.find_tensor("blk.0.attn_v.weight");
  if (q != nullptr && v != nullptr)
    outline.heads_per_key = static_cast<std::uint32_t>(std::max<std::uint64_t>(1, q->rows() / v->rows()));
  return outline;
}

const std::vector<std::string>& mixture_names() {
  static const std::vector<std::string> kNames = [] {
    std::vector<std::string> names;
    for (const Mixture& mixture : kMixtures) names.emplace_back(mixture.name);
    return names;
  }();
  return kNames;
}

const Mixture* find_mixture(std::string_view name) {
  const auto same = [](unsigned char a, unsigned char b) { return std::tolower(a) == b; };
  const auto* found = std::find_if(std::begin(kMixtures), std::end(kMixtures), [&](const Mixture& mixture) {
    return std::equal(name.begin(), name.end(), mixture.name.begin(), mixture.name.end(), same);
  });
  return found == std::end(kMixtures) ? nullptr : found;
}

TensorType type_in(const Mixture& mixture, const Outline& outline, std::string_view tensor,
                   std::uint64_t cols) {
  const bool outer = tensor == kOutput || (tensor == kEmbedding && (outline.tied || !mixture.mixed));
  const TensorType type = outer ? mixture.outer : type_in_layer(mixture, outline, tensor);
  return cols % arith::kSuperBlock == 0 ? type : of_32(type);
}

}  // namespace cortensor::engine
