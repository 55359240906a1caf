#include "crypto/ed25519.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "base/check.h"
#include "base/hex.h"
#include "crypto/random.h"

namespace cortensor::crypto {
namespace {

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Context = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;

Key private_key_from(const Bytes32& seed) {
  return {EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed.data(), seed.size()), EVP_PKEY_free};
}

Error file_error(const std::filesystem::path& path, const char* doing) {
  return fail(ErrorKind::unavailable,
              "key file " + path.string() + ": " + doing + ": " + std::strerror(errno));
}

}  // namespace

PrivateKey PrivateKey::from_seed(const Bytes32& seed) {
  PrivateKey key;
  key.seed_ = seed;
  const Key raw = private_key_from(seed);
  CORTENSOR_CHECK(raw != nullptr);
  std::size_t size = key.public_key_.size();
  CORTENSOR_CHECK(EVP_PKEY_get_raw_public_key(raw.get(), key.public_key_.data(), &size) == 1);
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
  const Key key = private_key_from(seed_);
  const Context context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  Signature signature{};
  std::size_t size = signature.size();
  CORTENSOR_CHECK(EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1);
  CORTENSOR_CHECK(EVP_DigestSign(context.get(), signature.data(), &size, message.data(), message.size()) ==
                  1);
  return signature;
}

bool verify(const NodeId& node, ByteView message, const Signature& signature) {
  const auto public_key = bytes32_from_hex(node.value);
  if (!public_key) return false;
  const Key key(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, public_key->data(), public_key->size()),
      EVP_PKEY_free);
  if (!key) return false;
  const Context context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  return EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
         EVP_DigestVerify(context.get(), signature.data(), signature.size(), message.data(),
                          message.size()) == 1;
}

}  // namespace cortensor::crypto
