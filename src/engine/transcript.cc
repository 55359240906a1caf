#include "engine/transcript.h"

#include <algorithm>
#include <bit>

#include "crypto/sha256.h"

namespace cortensor::engine {
namespace {

constexpr std::uint8_t kLeafTag = 0;
constexpr std::uint8_t kNodeTag = 1;

Digest leaf(const Step& step) {
  std::array<std::uint8_t, 37> bytes;
  bytes[0] = kLeafTag;
  for (std::size_t i = 0; i < 4; ++i) bytes[1 + i] = static_cast<std::uint8_t>(step.token >> 8 * i);
  std::copy(step.digest.begin(), step.digest.end(), bytes.begin() + 5);
  return crypto::sha256(bytes);
}

Digest node(const Digest& left, const Digest& right) {
  std::array<std::uint8_t, 65> bytes;
  bytes[0] = kNodeTag;
  std::copy(left.begin(), left.end(), bytes.begin() + 1);
  std::copy(right.begin(), right.end(), bytes.begin() + 33);
  return crypto::sha256(bytes);
}

}  // namespace

Digest position_digest(std::span<const float> hidden, TokenId token) {
  crypto::Sha256 hash;
  hash.update({reinterpret_cast<const std::uint8_t*>(hidden.data()), hidden.size_bytes()});
  hash.update({reinterpret_cast<const std::uint8_t*>(&token), sizeof token});
  return hash.finish();
}

void MerkleRoot::add(const Step& step) {
  // Like a binary counter: each trailing one of the old count is a complete subtree that the carry swallows.
  Digest carry = leaf(step);
  for (std::uint64_t count = count_; count & 1; count >>= 1) {
    carry = node(peaks_.back(), carry);
    peaks_.pop_back();
  }
  peaks_.push_back(carry);
  ++count_;
}

Digest MerkleRoot::root() const {
  if (peaks_.empty()) return crypto::sha256({});
  Digest root = peaks_.back();
  for (std::size_t i = peaks_.size() - 1; i-- > 0;) root = node(peaks_[i], root);
  return root;
}

Digest transcript_root(std::span<const Step> steps) {
  MerkleRoot merkle;
  for (const Step& step : steps) merkle.add(step);
  return merkle.root();
}

}  // namespace cortensor::engine
