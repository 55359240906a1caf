// The two statements that nodes sign: a miner's commitment to a transcript, a validator's verdict about one.
// Their canonical bytes are in canonical.h and docs/spec/receipts.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/generation.h"
#include "base/ids.h"
#include "crypto/ed25519.h"

namespace cortensor::protocol {

// "I computed this": sent before anyone has decided whether to check. Of a whole answer, or of its beginning
// while it goes on.
struct Commitment {
  std::uint32_t arithmetic_version = 0;
  Digest model{};    // ModelManifest::weights
  Digest request{};  // request_digest() of the generation request
  AttemptId attempt;
  std::uint32_t count = 0;                                  // positions in the transcript
  Digest root{};                                            // Merkle root over their tokens and digests
  std::optional<FinishReason> finish = FinishReason::stop;  // none: the answer goes on
  NodeId miner;
  crypto::Signature signature{};
  friend bool operator==(const Commitment&, const Commitment&) = default;
};

enum class Outcome : std::uint8_t { valid = 0, invalid = 1, inconclusive = 2 };

constexpr std::string_view to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::valid:
      return "VALID";
    case Outcome::invalid:
      return "INVALID";
    case Outcome::inconclusive:
      return "INCONCLUSIVE";
  }
  return "INCONCLUSIVE";
}

// How a verdict came about.
enum class Method : std::uint8_t { replay = 0, quorum = 1 };

// "I checked this commitment": by a validator's replay, or by the router's comparison of equal roots.
struct Verdict {
  Digest commitment{};  // commitment_digest() of what was checked
  Method method = Method::replay;
  Outcome outcome = Outcome::inconclusive;
  std::uint32_t first_wrong = 0;  // index into the transcript; meaningful when the outcome is invalid
  std::string reason;             // at most 500 characters, no prompt or answer text
  NodeId validator;
  crypto::Signature signature{};
  friend bool operator==(const Verdict&, const Verdict&) = default;
};

}  // namespace cortensor::protocol
