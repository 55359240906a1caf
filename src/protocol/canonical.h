// The bytes that are hashed and signed: hand-written, versioned, one value one encoding. Normative text:
// docs/spec/receipts.md. Numbers are little-endian; texts and lists carry a u32 length first.
#pragma once

#include "base/bytes.h"
#include "base/generation.h"
#include "protocol/receipt.h"
#include "protocol/statement.h"

namespace cortensor::protocol {

// Commits to everything that decides the answer's bits, the model included.
Digest request_digest(const Digest& model, const GenerationRequest& request);

// What a miner signs, and the digest by which verdicts and receipts name it (signature included).
Bytes signed_bytes(const Commitment& commitment);
Digest commitment_digest(const Commitment& commitment);

// What a validator signs.
Bytes signed_bytes(const Verdict& verdict);

// What a router signs.
Bytes signed_bytes(const Receipt& receipt);
Digest receipt_digest(const Receipt& receipt);

}  // namespace cortensor::protocol
