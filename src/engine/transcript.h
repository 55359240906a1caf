// What a miner commits to: a digest per generated position and the Merkle root over tokens and digests.
// Spec: A15
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/generation.h"

namespace cortensor::engine {

// SHA-256 over the state's binary32 values, little endian, then the token's id as u32, little endian.
// hidden: [dim], after the final norm, the state the token was chosen from; or an embedding (A18.3).
Digest position_digest(std::span<const float> hidden, TokenId token);

// Root of a Merkle tree that grows leaf by leaf in memory logarithmic in its size.
// leaf = SHA-256(0x00 || token || digest), node = SHA-256(0x01 || left || right); an odd node goes up as it
// is; the root of nothing is SHA-256 of no bytes. The token is in the leaf itself, so that whoever has no
// model sees when another one stands beside a true digest.
class MerkleRoot {
 public:
  void add(const Step& step);
  Digest root() const;
  std::uint64_t size() const { return count_; }

 private:
  std::uint64_t count_ = 0;
  std::vector<Digest> peaks_;  // roots of complete subtrees, largest first; one per set bit of count_
};

Digest transcript_root(std::span<const Step> steps);

}  // namespace cortensor::engine
