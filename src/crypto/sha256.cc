#include "crypto/sha256.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/check.h"

namespace cortensor::crypto {
namespace {

// Fetched once: EVP_sha256() would look the implementation up anew for every digest, which takes longer than
// the digest of a Merkle node.
const EVP_MD* algorithm() {
  static EVP_MD* const fetched = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  CORTENSOR_CHECK(fetched != nullptr);
  return fetched;
}

}  // namespace

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }

  void begin() { CORTENSOR_CHECK(EVP_DigestInit_ex(context, algorithm(), nullptr) == 1); }
  void update(ByteView bytes) { CORTENSOR_CHECK(EVP_DigestUpdate(context, bytes.data(), bytes.size()) == 1); }
  Digest finish() {
    Digest digest{};
    CORTENSOR_CHECK(EVP_DigestFinal_ex(context, digest.data(), nullptr) == 1);
    return digest;
  }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  state_->begin();
}
Sha256::~Sha256() = default;

void Sha256::update(ByteView bytes) {
  state_->update(bytes);
}

Digest Sha256::finish() {
  return state_->finish();
}

Digest sha256(ByteView bytes) {
  thread_local Sha256::State state;  // a Merkle node is hashed sooner than a context is made
  state.begin();
  state.update(bytes);
  return state.finish();
}

Digest hmac_sha256(const Bytes32& key, ByteView bytes) {
  Digest digest{};
  CORTENSOR_CHECK(HMAC(algorithm(), key.data(), static_cast<int>(key.size()), bytes.data(), bytes.size(),
                       digest.data(), nullptr) != nullptr);
  return digest;
}

}  // namespace cortensor::crypto
