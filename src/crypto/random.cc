#include "crypto/random.h"

#include <openssl/rand.h>

#include "base/check.h"

namespace cortensor::crypto {

void random_bytes(std::span<std::uint8_t> out) {
  CORTENSOR_CHECK(RAND_bytes(out.data(), static_cast<int>(out.size())) == 1);
}

std::uint64_t random_u64() {
  std::array<std::uint8_t, 8> raw{};
  random_bytes(raw);
  return std::bit_cast<std::uint64_t>(raw);
}

std::string random_token(std::string_view prefix, int characters) {
  static constexpr char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  Bytes raw(static_cast<std::size_t>(characters));
  random_bytes(raw);
  std::string token(prefix);
  for (const std::uint8_t byte : raw) token += alphabet[byte & 63];
  return token;
}

}  // namespace cortensor::crypto
