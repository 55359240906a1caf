#include "crypto/ed25519.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "base/hex.h"
#include "crypto/random.h"

namespace cortensor::crypto {
namespace {

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Context = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;

// The key of a node, or nullptr. Nodes sign again and again, and preparing a key takes a third of the time of
// using it: each thread keeps some.
EVP_PKEY* public_key_of(const NodeId& node) {
  constexpr std::size_t kKept = 256;
  thread_local std::unordered_map<NodeId, Key> kept;
  if (const auto known = kept.find(node); known != kept.end()) return known->second.get();
  const auto bytes = bytes32_from_hex(node.value);
  if (!bytes) return nullptr;
  Key key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes->data(), bytes->size()),
          EVP_PKEY_free);
  if (!key) return nullptr;
  if (kept.size() >= kKept) kept.clear();
  return kept.emplace(node, std::move(key)).first->second.get();
}

Error file_error(const std::filesystem::path& path, const char* doing) {
  return fail(ErrorKind::unavailable,
              "key file " + path.string() + ": " + doing + ": " + std::strerror(errno));
}

}  // namespace

PrivateKey PrivateKey::from_seed(const Bytes32& seed) {
  PrivateKey key;
  key.seed_ = seed;
  key.key_.reset(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed.data(), seed.size()),
                 EVP_PKEY_free);
  CORTENSOR_CHECK(key.key_ != nullptr);
  std::size_t size = key.public_key_.size();
  CORTENSOR_CHECK(EVP_PKEY_get_raw_public_key(key.key_.get(), key.public_key_.data(), &size) == 1);
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
  const Context context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  Signature signature{};
  std::size_t size = signature.size();
  CORTENSOR_CHECK(EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key_.get()) == 1);
  CORTENSOR_CHECK(EVP_DigestSign(context.get(), signature.data(), &size, message.data(), message.size()) ==
                  1);
  return signature;
}

bool verify(const NodeId& node, ByteView message, const Signature& signature) {
  EVP_PKEY* const key = public_key_of(node);
  if (key == nullptr) return false;
  const Context context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  return EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key) == 1 &&
         EVP_DigestVerify(context.get(), signature.data(), signature.size(), message.data(),
                          message.size()) == 1;
}

}  // namespace cortensor::crypto
