// What nodes and routers say to each other, as plain values. The wire form is wire/codec; nothing here is
// trusted until the receiver has checked it. Limits are checked by the codec on decoding.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/generation.h"
#include "base/ids.h"
#include "base/result.h"
#include "protocol/manifest.h"
#include "protocol/statement.h"

namespace cortensor::protocol {

inline constexpr std::uint32_t kProtocolVersion = 1;

// Limits of everything that comes from outside; docs/spec/wire.md lists them.
inline constexpr std::size_t kMaxPromptTokens = 1 << 18;
inline constexpr std::size_t kMaxAnswerTokens = 1 << 17;
inline constexpr std::size_t kMaxStepsPerMessage = 1024;
inline constexpr std::size_t kMaxModelsPerNode = 64;
inline constexpr std::size_t kMaxBatchSpeeds = 10;
inline constexpr std::size_t kMaxAccountsPerNode = 64;
inline constexpr std::size_t kMaxNameBytes = 128;
inline constexpr std::size_t kMaxReasonBytes = 500;
inline constexpr std::size_t kMaxFrameBytes = 8 << 20;

enum class Role : std::uint8_t { miner = 0, validator = 1 };
constexpr std::string_view to_string(Role role) {
  return role == Role::miner ? "miner" : "validator";
}

struct ModelOffer {
  ModelManifest manifest;
  double prefill_tokens_per_second = 0;              // measured by the node at its start
  double decode_tokens_per_second = 0;               // of one sequence alone
  std::vector<double> batch_tokens_per_second = {};  // of 2, 4, 8, … sequences at a time, all together
  std::uint32_t kv_positions = 0;                    // that the cache holds for all sequences; 0: not said
  friend bool operator==(const ModelOffer&, const ModelOffer&) = default;
};

// ---- node to router ----

// First message of every connection. `node` must equal the key of the TLS certificate.
struct Hello {
  std::uint32_t protocol_version = kProtocolVersion;
  std::uint32_t arithmetic_version = 0;
  Role role = Role::miner;
  NodeId node;
  std::string join_token;  // empty when the router knows the node already
  std::vector<ModelOffer> models;
  std::uint32_t slots = 0;  // sequences (miner) or checks (validator) at once
  std::string isa;          // of the kernels: for people and for choosing another kind of processor
  std::vector<AccountId> only_for = {};  // a miner that works for nobody else; none: for everybody
  friend bool operator==(const Hello&, const Hello&) = default;
};

// Tokens of an attempt as they are made. `first` is the transcript index of steps[0]; indexes must follow on.
struct Steps {
  AttemptId attempt;
  std::uint32_t first = 0;
  std::vector<Step> steps;
  std::vector<Logprobs> logprobs;     // one per step, all with as many tokens, or empty when not asked for
  std::vector<float> embedding = {};  // beside the one step of a request for it, whose digest is its own
  friend bool operator==(const Steps&, const Steps&) = default;
};

// The attempt is complete. For a continued attempt the commitment covers the given positions too.
struct Submission {
  Commitment commitment;
  std::uint32_t cached_tokens =
      0;  // of the prompt that the miner had in its cache; its word, changes no bill
  friend bool operator==(const Submission&, const Submission&) = default;
};

// The attempt goes on, and what was sent of it so far is signed: a miner that does not come to the end is
// paid for these tokens. Only where Assign asks for it.
struct Segment {
  Commitment commitment;  // without a finish
  friend bool operator==(const Segment&, const Segment&) = default;
};

struct AttemptFailed {
  AttemptId attempt;
  ErrorKind kind = ErrorKind::internal;
  std::string message;
  friend bool operator==(const AttemptFailed&, const AttemptFailed&) = default;
};

struct CheckResult {
  AttemptId attempt;
  Verdict verdict;
  friend bool operator==(const CheckResult&, const CheckResult&) = default;
};

// What this router cannot have of the node, as others have it or may still claim it. At least as often as the
// Welcome says, and as soon as it changes.
struct Heartbeat {
  std::uint32_t busy_slots = 0;                         // of all routers
  std::uint32_t elsewhere_slots = 0;                    // of them, those of other routers
  std::uint32_t kept_slots = 0;                         // free ones that are kept for other routers
  std::vector<std::uint32_t> elsewhere_positions = {};  // of the caches, by the order of the Hello's models
  friend bool operator==(const Heartbeat&, const Heartbeat&) = default;
};

using NodeMessage = std::variant<Hello, Steps, Segment, Submission, AttemptFailed, CheckResult, Heartbeat>;

// ---- router to node ----

struct Welcome {
  NodeId router;
  std::uint32_t heartbeat_ms = 0;  // the node sends a Heartbeat at least this often
  friend bool operator==(const Welcome&, const Welcome&) = default;
};

// Not admitted; the connection closes. `kind` tells the node whether trying again can help (unavailable,
// overloaded) or not (unauthenticated, forbidden, unsupported, invalid_input).
struct Refusal {
  ErrorKind kind = ErrorKind::forbidden;
  std::string message;
  friend bool operator==(const Refusal&, const Refusal&) = default;
};

// Run this. `given` are tokens generated before by another miner: continue at the next position.
struct Assign {
  AttemptId attempt;
  Digest model{};  // ModelManifest::weights
  GenerationRequest request;
  std::vector<TokenId> given;
  bool want_logprobs = false;
  std::uint32_t top_logprobs = 0;          // tokens beside the chosen one
  std::optional<Bytes32> cache_salt = {};  // prompts with the same one may share computed state
  std::uint32_t segment_tokens =
      0;  // a Segment is wanted whenever the answer has a multiple of them; 0: none
  friend bool operator==(const Assign&, const Assign&) = default;
};

struct Cancel {
  AttemptId attempt;
  friend bool operator==(const Cancel&, const Cancel&) = default;
};

// Replay this transcript and say whether it is what the model answers.
struct Check {
  Digest model{};
  GenerationRequest request;
  std::vector<Step> steps;
  Commitment commitment;
  friend bool operator==(const Check&, const Check&) = default;
};

using RouterMessage = std::variant<Welcome, Refusal, Assign, Cancel, Check>;

}  // namespace cortensor::protocol
