// Claims: hashes and signatures equal the published vectors, and a key survives its file.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/hex.h"
#include "crypto/ed25519.h"
#include "crypto/random.h"
#include "crypto/sha256.h"

namespace cortensor::crypto {
namespace {

TEST(Sha256, EqualsThePublishedVectorAndItself) {
  EXPECT_EQ(to_hex(sha256(bytes_of("abc"))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Sha256 pieces;
  pieces.update(bytes_of("a"));
  pieces.update(bytes_of("bc"));
  EXPECT_EQ(pieces.finish(), sha256(bytes_of("abc")));
}

TEST(Hmac, EqualsTheFirstVectorOfRfc4231) {
  Bytes32 key{};  // zeros behind a key change nothing
  std::fill_n(key.begin(), 20, std::uint8_t{0x0b});
  EXPECT_EQ(to_hex(hmac_sha256(key, bytes_of("Hi There"))),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
}

TEST(Ed25519, EqualsTheFirstVectorOfRfc8032) {
  const auto key = PrivateKey::from_seed(
      bytes32_from_hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").value());
  EXPECT_EQ(key.node_id().value, "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
  const Signature signature = key.sign({});
  EXPECT_EQ(to_hex(signature),
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
            "d25bf5f0595bbe24655141438e7a100b");
  EXPECT_TRUE(verify(key.node_id(), {}, signature));
}

TEST(Ed25519, RefusesAnotherMessageKeyOrSignature) {
  const PrivateKey key = PrivateKey::generate();
  Signature signature = key.sign(bytes_of("pay 5"));
  EXPECT_TRUE(verify(key.node_id(), bytes_of("pay 5"), signature));
  EXPECT_FALSE(verify(key.node_id(), bytes_of("pay 6"), signature));
  EXPECT_FALSE(verify(PrivateKey::generate().node_id(), bytes_of("pay 5"), signature));
  EXPECT_FALSE(verify(NodeId("not a key"), bytes_of("pay 5"), signature));
  signature[3] ^= 1;
  EXPECT_FALSE(verify(key.node_id(), bytes_of("pay 5"), signature));
}

TEST(PrivateKey, SurvivesItsFileAndRefusesABrokenOne) {
  const auto path = std::filesystem::temp_directory_path() / random_token("cortensor-key-", 16);
  const auto made = PrivateKey::load_or_create(path);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(std::filesystem::status(path).permissions() & std::filesystem::perms::mask,
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  EXPECT_EQ(PrivateKey::load_or_create(path).value().node_id(), made->node_id());
  std::ofstream(path) << "short";
  EXPECT_EQ(PrivateKey::load_or_create(path).error().kind, ErrorKind::corrupt);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace cortensor::crypto
