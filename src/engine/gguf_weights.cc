// Tensor types, and the checks and the digest that read every weight.
#include <algorithm>
#include <cstring>

#include "crypto/sha256.h"
#include "engine/gguf_file.h"

namespace cortensor::engine {
namespace {

constexpr std::size_t kDigestPiece = 8 << 20;

// The exponent is all ones: an infinity or not a number.
bool finite_f32(const std::uint8_t* at) {
  std::uint32_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return (bits & 0x7f800000u) != 0x7f800000u;
}

bool finite_f16(const std::uint8_t* at) {
  std::uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return (bits & 0x7c00u) != 0x7c00u;
}

bool finite_bf16(const std::uint8_t* at) {
  std::uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return (bits & 0x7f80u) != 0x7f80u;
}

// Index of the first block whose number at its beginning is not finite; the count of blocks if there is none.
template <bool (*finite)(const std::uint8_t*)>
std::size_t first_not_finite(ByteView data, std::size_t block) {
  constexpr std::size_t kGroup = 256;  // judged together, so that the common case is branch-free
  const std::size_t blocks = data.size() / block;
  for (std::size_t begin = 0; begin < blocks; begin += kGroup) {
    const std::size_t end = std::min(blocks, begin + kGroup);
    bool good = true;
    for (std::size_t i = begin; i < end; ++i) good &= finite(data.data() + i * block);
    if (good) continue;
    for (std::size_t i = begin; i < end; ++i)
      if (!finite(data.data() + i * block)) return i;
  }
  return blocks;
}

}  // namespace

std::string_view to_string(TensorType type) {
  switch (type) {
    case TensorType::f32:
      return "F32";
    case TensorType::f16:
      return "F16";
    case TensorType::q4_0:
      return "Q4_0";
    case TensorType::q8_0:
      return "Q8_0";
    case TensorType::bf16:
      return "BF16";
  }
  return "unknown";
}

bool is_supported_tensor_type(std::uint32_t type) {
  switch (static_cast<TensorType>(type)) {
    case TensorType::f32:
    case TensorType::f16:
    case TensorType::q4_0:
    case TensorType::q8_0:
    case TensorType::bf16:
      return true;
  }
  return false;
}

std::string tensor_type_name(std::uint32_t type) {
  static constexpr std::string_view kNames[] = {
      "F32",   "F16",    "Q4_0", "Q4_1", "4",    "5",       "Q5_0",   "Q5_1",    "Q8_0",  "Q8_1",   "Q2_K",
      "Q3_K",  "Q4_K",   "Q5_K", "Q6_K", "Q8_K", "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S",
      "IQ2_S", "IQ4_XS", "I8",   "I16",  "I32",  "I64",     "F64",    "IQ1_M",   "BF16"};
  if (type < std::size(kNames)) return std::string(kNames[type]);
  return std::to_string(type);
}

BlockShape block_shape(TensorType type) {
  switch (type) {
    case TensorType::f32:
      return {1, 4};
    case TensorType::f16:
    case TensorType::bf16:
      return {1, 2};
    case TensorType::q4_0:
      return {32, 18};
    case TensorType::q8_0:
      return {32, 34};
  }
  return {1, 1};
}

Status check_weights(const TensorInfo& tensor) {
  const BlockShape shape = block_shape(tensor.type);
  std::size_t bad = 0;
  switch (tensor.type) {
    case TensorType::f32:
      bad = first_not_finite<finite_f32>(tensor.data, shape.bytes);
      break;
    case TensorType::bf16:
      bad = first_not_finite<finite_bf16>(tensor.data, shape.bytes);
      break;
    case TensorType::f16:
    case TensorType::q4_0:
    case TensorType::q8_0:
      bad = first_not_finite<finite_f16>(tensor.data, shape.bytes);
      break;
  }
  if (bad == tensor.data.size() / shape.bytes) return ok();
  const std::size_t in_row = tensor.cols() / shape.elements;
  return fail(ErrorKind::corrupt, "tensor " + std::string(tensor.name) + ": expected finite weights, row " +
                                      std::to_string(bad / in_row) +
                                      (shape.elements > 1 ? " block " : " column ") +
                                      std::to_string(bad % in_row) + " holds an infinity or a NaN");
}

Status check_weights(const GgufFile& file) {
  for (const TensorInfo& tensor : file.tensors())
    if (auto status = check_weights(tensor); !status) return status;
  return ok();
}

Digest weights_digest(const GgufFile& file, const Progress& progress) {
  crypto::Sha256 hash;
  const ByteView bytes = file.bytes();
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t size = std::min(kDigestPiece, bytes.size() - at);
    hash.update(bytes.subspan(at, size));
    at += size;
    if (progress) progress(at, bytes.size());
  }
  return hash.finish();
}

}  // namespace cortensor::engine
