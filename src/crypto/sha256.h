// SHA-256 (FIPS 180-4) and HMAC with it (RFC 2104), by OpenSSL.
#pragma once

#include <memory>

#include "base/bytes.h"
#include "base/generation.h"

namespace cortensor::crypto {

Digest sha256(ByteView bytes);

// A digest that only who has the key can make.
Digest hmac_sha256(const Bytes32& key, ByteView bytes);

// For what does not lie in one piece: update() any number of times, then finish() once.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void update(ByteView bytes);
  Digest finish();

 private:
  struct State;
  friend Digest sha256(ByteView bytes);
  std::unique_ptr<State> state_;
};

}  // namespace cortensor::crypto
