// Tensor types, and the checks and the digest that read every weight.
#include <algorithm>
#include <cstring>

#include "arith/segment.h"
#include "crypto/sha256.h"
#include "engine/gguf_file.h"

namespace cortensor::engine {
namespace {

constexpr std::size_t kDigestPiece = 8 << 20;

// Whether the numbers of a block are finite: no exponent is all ones.
template <class Word, Word kExponent>
bool finite_at(const std::uint8_t* at) {
  Word bits;
  std::memcpy(&bits, at, sizeof bits);
  return (bits & kExponent) != kExponent;
}
constexpr auto* finite_f32 = finite_at<std::uint32_t, 0x7f800000u>;
constexpr auto* finite_f16 = finite_at<std::uint16_t, 0x7c00u>;
constexpr auto* finite_bf16 = finite_at<std::uint16_t, 0x7f80u>;

// Index of the first block with a number, `offset` bytes behind its beginning, that is not finite; the count
// of blocks if there is none.
template <bool (*finite)(const std::uint8_t*)>
std::size_t first_not_finite(ByteView data, std::size_t block, std::size_t offset) {
  constexpr std::size_t kGroup = 256;  // judged together, so that the common case is branch-free
  const std::size_t blocks = data.size() / block;
  for (std::size_t begin = 0; begin < blocks; begin += kGroup) {
    const std::size_t end = std::min(blocks, begin + kGroup);
    bool good = true;
    for (std::size_t i = begin; i < end; ++i) good &= finite(data.data() + i * block + offset);
    if (good) continue;
    for (std::size_t i = begin; i < end; ++i)
      if (!finite(data.data() + i * block + offset)) return i;
  }
  return blocks;
}

std::size_t first_not_finite(const TensorInfo& tensor) {
  const arith::FileBlock shape = arith::file_block(tensor.type);
  if (tensor.type == TensorType::f32) return first_not_finite<finite_f32>(tensor.data, shape.bytes, 0);
  if (tensor.type == TensorType::bf16) return first_not_finite<finite_bf16>(tensor.data, shape.bytes, 0);
  if (tensor.type == TensorType::f16) return first_not_finite<finite_f16>(tensor.data, shape.bytes, 0);
  std::size_t bad = tensor.data.size() / shape.bytes;
  for (std::size_t s = 0; s < shape.scales; ++s)
    bad = std::min(bad, first_not_finite<finite_f16>(tensor.data, shape.bytes, shape.first_scale + 2 * s));
  return bad;
}

}  // namespace

bool is_supported_tensor_type(std::uint32_t type) {
  return arith::file_block(static_cast<TensorType>(type)).bytes != 0;
}

namespace {

// A17.3, A17.4
Status check_native(const TensorInfo& tensor) {
  for (std::uint64_t row = 0; row < tensor.rows(); ++row)
    if (!arith::segments_are_good(tensor.type, tensor.data.data() + row * tensor.row_bytes(), tensor.cols()))
      return fail(ErrorKind::corrupt, "tensor " + std::string(tensor.name) +
                                          ": expected scales and codes of the native profile, row " +
                                          std::to_string(row) + " holds others");
  return ok();
}

}  // namespace

Status check_weights(const TensorInfo& tensor) {
  if (arith::is_segmented(tensor.type)) return check_native(tensor);
  const arith::FileBlock shape = arith::file_block(tensor.type);
  const std::size_t bad = first_not_finite(tensor);
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

Digest weights_digest(const GgufFile& file, const Progress& progress, std::stop_token stop) {
  crypto::Sha256 hash;
  const ByteView bytes = file.bytes();
  for (std::size_t at = 0; at < bytes.size() && !stop.stop_requested();) {
    const ByteView piece = bytes.subspan(at, std::min(kDigestPiece, bytes.size() - at));
    hash.update(piece);
    file.release(piece);
    at += piece.size();
    if (progress) progress(at, bytes.size());
  }
  return hash.finish();
}

}  // namespace cortensor::engine
