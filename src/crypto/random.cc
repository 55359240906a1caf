#include "crypto/random.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <pthread.h>

#include <algorithm>
#include <array>
#include <bit>

#include "base/check.h"

namespace cortensor::crypto {
namespace {

// Identifiers are drawn for every request and short: each thread draws ahead. What was given out is wiped.
struct Pool {
  std::array<std::uint8_t, 1024> bytes{};
  std::size_t used = bytes.size();
};
thread_local Pool pool;

// A forked child must not give out what its parent has drawn ahead; only the thread that forked lives on in
// it.
const int fork_watch = ::pthread_atfork(nullptr, nullptr, [] { pool.used = pool.bytes.size(); });

void draw(std::span<std::uint8_t> out) {
  CORTENSOR_CHECK(RAND_bytes(out.data(), static_cast<int>(out.size())) == 1);
}

}  // namespace

void random_bytes(std::span<std::uint8_t> out) {
  CORTENSOR_CHECK(fork_watch == 0);
  if (out.size() > pool.bytes.size() / 8) return draw(out);
  if (pool.bytes.size() - pool.used < out.size()) {
    draw(pool.bytes);
    pool.used = 0;
  }
  const auto taken = std::span(pool.bytes).subspan(pool.used, out.size());
  std::copy(taken.begin(), taken.end(), out.begin());
  OPENSSL_cleanse(taken.data(), taken.size());
  pool.used += out.size();
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
