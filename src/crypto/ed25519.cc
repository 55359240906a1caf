#include "crypto/ed25519.h"

#include <fcntl.h>
#include <sodium.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "base/hex.h"
#include "crypto/random.h"

namespace cortensor::crypto {
namespace {

// libsodium chooses its code for this processor once.
void prepare() {
  static const bool ready = sodium_init() >= 0;
  CORTENSOR_CHECK(ready);
}

// libsodium's form of a private key.
std::array<std::uint8_t, crypto_sign_SECRETKEYBYTES> secret_key(const Bytes32& seed,
                                                                const Bytes32& public_key) {
  std::array<std::uint8_t, crypto_sign_SECRETKEYBYTES> secret;
  std::copy(public_key.begin(), public_key.end(), std::copy(seed.begin(), seed.end(), secret.begin()));
  return secret;
}

Error file_error(const std::filesystem::path& path, const char* doing) {
  return fail(ErrorKind::unavailable,
              "key file " + path.string() + ": " + doing + ": " + std::strerror(errno));
}

}  // namespace

PrivateKey PrivateKey::from_seed(const Bytes32& seed) {
  PrivateKey key;
  key.seed_ = seed;
  prepare();
  std::array<std::uint8_t, crypto_sign_SECRETKEYBYTES> secret;
  CORTENSOR_CHECK(crypto_sign_seed_keypair(key.public_key_.data(), secret.data(), seed.data()) == 0);
  key.node_id_ = NodeId(to_hex(key.public_key_));
  return key;
}

PrivateKey PrivateKey::generate() {
  Bytes32 seed{};
  random_bytes(seed);
  return from_seed(seed);
}

Result<PrivateKey> PrivateKey::load_or_create(const std::filesystem::path& path) {
  if (const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC); file >= 0) {
    char text[65];
    const ssize_t size = ::read(file, text, sizeof text);
    ::close(file);
    if (size < 64)
      return fail(ErrorKind::corrupt, "key file " + path.string() + ": expected 64 hexadecimal digits");
    auto seed = bytes32_from_hex({text, 64});
    if (!seed) return std::move(seed).error_context("key file " + path.string());
    return from_seed(*seed);
  }
  if (errno != ENOENT) return file_error(path, "cannot open");
  const PrivateKey key = generate();
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) return file_error(path, "cannot create");
  const std::string text = to_hex(key.seed_) + "\n";
  const bool written =
      ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(file) == 0;
  ::close(file);
  if (!written) {
    const Error error = file_error(path, "cannot write");
    ::unlink(path.c_str());
    return error;
  }
  return key;
}

Signature PrivateKey::sign(ByteView message) const {
  const auto secret = secret_key(seed_, public_key_);
  Signature signature{};
  CORTENSOR_CHECK(
      crypto_sign_detached(signature.data(), nullptr, message.data(), message.size(), secret.data()) == 0);
  return signature;
}

bool verify(const NodeId& node, ByteView message, const Signature& signature) {
  const auto public_key = bytes32_from_hex(node.value);
  if (!public_key) return false;
  prepare();
  return crypto_sign_verify_detached(signature.data(), message.data(), message.size(), public_key->data()) ==
         0;
}

}  // namespace cortensor::crypto
