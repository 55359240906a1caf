// SHA-256 (FIPS 180-4), by OpenSSL.
#pragma once

#include <memory>

#include "base/bytes.h"
#include "base/generation.h"

namespace cortensor::crypto {

Digest sha256(ByteView bytes);

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
