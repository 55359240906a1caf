// Certificates that carry a node's identity through TLS. There is no authority and no chain: a certificate is
// a self-signed envelope around an Ed25519 key, and the key is the identity. Whoever receives one compares
// the key.
#pragma once

#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "crypto/ed25519.h"

namespace cortensor::crypto {

struct Certificate {
  std::string certificate_pem;
  std::string key_pem;  // PKCS#8, unencrypted: secret
};

// The certificate of a key: fixed serial and validity, common name = node id; one key, one certificate, byte
// for byte.
Certificate make_certificate(const PrivateKey& key);

// The identity in the first certificate of a PEM text. Neither signature nor dates are checked: TLS has
// proved that the peer holds the key. Fails on anything but one Ed25519 key.
Result<NodeId> node_of_certificate_pem(std::string_view pem);

// From now on every TLS context that this process makes, also inside libraries, refuses versions below 1.3
// (gRPC 1.51 has no switch for it). Idempotent; call it before other threads make contexts. Fails when
// OpenSSL refuses the setting.
Status require_tls13();

}  // namespace cortensor::crypto
