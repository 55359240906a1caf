// Ed25519 keys and signatures (RFC 8032), by libsodium. Signatures are deterministic: one message, one
// signature.
#pragma once

#include <filesystem>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"

namespace cortensor::crypto {

using Signature = Bytes64;

class PrivateKey {
 public:
  static PrivateKey generate();
  static PrivateKey from_seed(const Bytes32& seed);
  // Reads the 64 hex digits of a seed; makes the file (mode 0600) with a new key when it does not exist.
  static Result<PrivateKey> load_or_create(const std::filesystem::path& path);

  NodeId node_id() const { return node_id_; }  // hex of the public key
  const Bytes32& seed() const { return seed_; }
  const Bytes32& public_key() const { return public_key_; }
  Signature sign(ByteView message) const;

 private:
  PrivateKey() = default;
  Bytes32 seed_{};
  Bytes32 public_key_{};
  NodeId node_id_;
};

// False for a wrong signature and for a node id that is not a public key.
bool verify(const NodeId& node, ByteView message, const Signature& signature);

}  // namespace cortensor::crypto
