// A receipt: everything needed to re-check one answer at home, signed by whoever took part.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/generation.h"
#include "base/ids.h"
#include "base/result.h"
#include "protocol/manifest.h"
#include "protocol/statement.h"

namespace cortensor::protocol {

// One payment out of the session's hold, in micro-credits.
struct Payment {
  enum class Kind : std::uint8_t { miner = 0, validator = 1, router = 2 };
  Kind kind = Kind::miner;
  NodeId party;
  std::int64_t amount = 0;
  friend bool operator==(const Payment&, const Payment&) = default;
};

std::string_view to_string(Payment::Kind kind);

enum class ValidationLevel : std::uint8_t { none = 0, spot = 1, full = 2, quorum = 3 };
std::string_view to_string(ValidationLevel level);
Result<ValidationLevel> validation_level_from(std::string_view name);

// What was charged and by which prices. Money is in micro-credits, prices per million tokens.
struct Bill {
  std::uint32_t prompt_tokens = 0;
  std::uint32_t completion_tokens = 0;
  std::int64_t prompt_price = 0;
  std::int64_t completion_price = 0;
  std::int64_t total = 0;  // the sum of the payments; 0 when the answer was found INVALID
  std::vector<Payment> payments;
  friend bool operator==(const Bill&, const Bill&) = default;
};

struct Receipt {
  std::string id;              // "rcpt_…"
  std::int64_t issued_ms = 0;  // Unix time
  NodeId router;
  SessionId session;
  TaskId task;
  std::uint32_t choice = 0;  // index among the task's choices
  ValidationLevel level = ValidationLevel::none;
  ModelManifest model;
  GenerationRequest request;
  std::vector<Step> steps;  // the transcript
  // The delivered miner's first; further ones from a quorum; those to the answer's beginning, by miners that
  // others went on behind, by rising count.
  std::vector<Commitment> commitments;
  std::vector<Verdict> verdicts;
  Bill bill;
  crypto::Signature signature{};  // the router's
  friend bool operator==(const Receipt&, const Receipt&) = default;
};

// Divides what an answer earns its miners: each that signed the beginning gets, of `amount`, the part of the
// tokens that nobody had signed before it, rounded down; who signed the whole gets the rest. `segments`: by
// rising count.
std::vector<Payment> divide(std::int64_t amount, const Commitment& whole,
                            std::span<const Commitment> segments);

// The canonical JSON form, as /v1/receipts/{id} serves it and `cortensor verify` reads it.
std::string receipt_to_json(const Receipt& receipt);
// Refuses unknown, missing or malformed fields by name; checks no signature.
Result<Receipt> receipt_from_json(std::string_view json);

// Everything wrong that can be found without the model, most telling first; empty when nothing is: signatures
// of all parties, that statements speak of this receipt's request, transcript and model, prices and sums.
// `root_of` is engine::transcript_root(), since this layer knows no engine.
using RootOf = std::function<Digest(std::span<const Step>)>;
std::vector<std::string> problems_of(const Receipt& receipt, const RootOf& root_of);

}  // namespace cortensor::protocol
