// Claims: the root that grows leaf by leaf is the root of the tree built level by level; every change to a
// transcript changes it, a token's too; the first difference is found, also at an end.
#include "engine/transcript.h"

#include <gtest/gtest.h>

#include "base/hex.h"
#include "crypto/sha256.h"

namespace cortensor::engine {
namespace {

Digest digest_of(std::uint32_t n) {
  ByteWriter writer;
  writer.number(n);
  return crypto::sha256(writer.bytes());
}

Digest hash_all(std::initializer_list<ByteView> parts) {
  crypto::Sha256 hash;
  for (const ByteView part : parts) hash.update(part);
  return hash.finish();
}

// The definition, level by level.
Digest root_by_levels(const std::vector<Step>& steps) {
  if (steps.empty()) return crypto::sha256({});
  const Bytes leaf_tag{0}, node_tag{1};
  std::vector<Digest> level;
  for (const Step& step : steps) {
    ByteWriter token;
    token.number(step.token);
    level.push_back(hash_all({leaf_tag, token.bytes(), step.digest}));
  }
  while (level.size() > 1) {
    std::vector<Digest> next;
    for (std::size_t i = 0; i + 1 < level.size(); i += 2)
      next.push_back(hash_all({node_tag, level[i], level[i + 1]}));
    if (level.size() % 2 == 1) next.push_back(level.back());
    level = next;
  }
  return level[0];
}

TEST(Transcript, GrowingRootEqualsTheTreeOfEverySize) {
  std::vector<Step> steps;
  MerkleRoot growing;
  for (std::uint32_t n = 0; n <= 70; ++n) {
    EXPECT_EQ(growing.root(), root_by_levels(steps)) << n << " leaves";
    EXPECT_EQ(growing.size(), n);
    steps.push_back({0x01020304 + n, digest_of(n)});
    growing.add(steps.back());
  }
}

TEST(Transcript, EmptyRootIsTheHashOfNothing) {
  EXPECT_EQ(to_hex(MerkleRoot().root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Transcript, PositionDigestIsOverLittleEndianBytes) {
  const std::vector<float> hidden{1.0f, -2.0f};
  const Bytes bytes{0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0, 0x04, 0x03, 0x02, 0x01};
  EXPECT_EQ(position_digest(hidden, 0x01020304), crypto::sha256(bytes));
}

TEST(Transcript, OneByOneAndAtOnceAgree) {
  MerkleRoot merkle;
  std::vector<Step> steps;
  for (std::uint32_t n = 0; n < 9; ++n) {
    steps.push_back({n, digest_of(n)});
    merkle.add(steps.back());
  }
  EXPECT_EQ(merkle.root(), transcript_root(steps));
  std::swap(steps[3], steps[4]);
  EXPECT_NE(merkle.root(), transcript_root(steps));
}

TEST(Transcript, RootCoversTheTokenBesideTheDigest) {
  std::vector<Step> steps;
  for (std::uint32_t n = 0; n < 9; ++n) steps.push_back({n, digest_of(n)});
  for (std::size_t i = 0; i < steps.size(); ++i) {
    std::vector<Step> swapped = steps;
    swapped[i].token += 1;
    EXPECT_NE(transcript_root(steps), transcript_root(swapped));
  }
}

}  // namespace
}  // namespace cortensor::engine
