// The nouns of the ledger: accounts, sessions, settlements, nodes, postings. Plain values.
// Texts and amounts come from clients and operators, unverified; the ledger checks them (limits below).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/generation.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/runtime/executor.h"
#include "base/units.h"
#include "ledger/pricing.h"
#include "protocol/message.h"
#include "protocol/receipt.h"

namespace cortensor::ledger {

using protocol::Payment;
using protocol::Role;
using protocol::ValidationLevel;

inline constexpr std::size_t kMaxText = 512;          // bytes of a name, label, reference, reason or id
inline constexpr std::size_t kMaxPayments = 256;      // of one settlement
inline constexpr std::uint32_t kMillion = 1'000'000;  // a probability of 1, in parts per million
inline constexpr std::uint32_t kMaxPace = 1'000'000, kMaxFirstTokenMs = 24 * 3600 * 1000;
inline constexpr std::size_t kMaxNamedMiners = 64;
// Of one deposit, budget or price: 10^9 credits.
inline constexpr Credits kMaxAmount{1'000'000'000'000'000};
// Of all money there is, 10^11 credits, so that no sum overflows.
inline constexpr Credits kMaxSupply{100'000'000'000'000'000};

// One column of the double-entry book: "external", "acct_…", "hold:sess_…" or "node:<64 hex>".
using Book = Id<struct BookTag>;
Book external_book();
Book book_of(const AccountId& account);
Book book_of(const SessionId& session);  // its hold
Book book_of(const NodeId& node);

struct Account {
  AccountId id;
  std::string name;  // unique
  Credits balance;   // what is free; holds are not in it
  WallTime created;
  friend bool operator==(const Account&, const Account&) = default;
};

// A key without its secret. The id is the first 16 hex digits of the secret's SHA-256.
struct ApiKey {
  std::string id;
  AccountId account;
  std::string label;
  bool revoked = false;
  WallTime created;
  friend bool operator==(const ApiKey&, const ApiKey&) = default;
};

struct NewApiKey {
  std::string secret;  // "ctk_" and 43 characters of base64url; shown once, stored nowhere
  ApiKey key;
};

struct Validation {
  ValidationLevel level = ValidationLevel::none;
  std::uint32_t spot_ppm = 0;  // spot: probability of a check, in parts per million, 1 to kMillion; else 0
  std::uint32_t quorum_k = 0;  // quorum: so many of n equal roots; n/2 < k <= n; else 0
  std::uint32_t quorum_n = 0;  // quorum: 2 to 16; else 0
  friend bool operator==(const Validation&, const Validation&) = default;
};

// What a session asks of the miners of its answers, beside price and checks, as the router expects it of them
// when they are chosen. Zero and empty: nothing.
struct ServiceLevel {
  std::uint32_t min_tokens_per_second = 0;  // of an answer, at most kMaxPace
  std::uint32_t max_first_token_ms = 0;     // at most a day
  std::uint32_t min_reliability_ppm = 0;    // in parts per million, at most kMillion
  std::vector<NodeId> miners;               // no others; at most kMaxNamedMiners
  friend bool operator==(const ServiceLevel&, const ServiceLevel&) = default;
};

struct SessionSpec {
  AccountId account;
  std::string model;
  Credits budget;                           // > 0; moved into the hold at opening
  std::optional<Credits> max_prompt_price;  // per million; opening is refused when the model costs more
  std::optional<Credits> max_completion_price;
  Validation validation;
  std::uint32_t redundancy = 1;  // miners per task at the same time, 1 to 16
  ServiceLevel service;
  WallTime expiry;
  std::string label;
  bool implicit = false;  // made by the router for a key that opened none
  friend bool operator==(const SessionSpec&, const SessionSpec&) = default;
};

enum class SessionState : std::uint8_t { open = 0, closed = 1, expired = 2 };

struct Session {
  SessionId id;
  SessionSpec spec;
  SessionState state = SessionState::open;
  Credits hold;   // what is left; zero unless open
  Credits spent;  // paid out to parties, less what was reversed
  WallTime opened;
  std::optional<WallTime> ended;
  friend bool operator==(const Session&, const Session&) = default;
};

enum class TaskOutcome : std::uint8_t {
  unchecked = 0,     // delivered; no verdict was asked for
  valid = 1,         // a verdict or a quorum confirmed it
  inconclusive = 2,  // a check was made and could not decide
  invalid = 3,       // proven wrong: nobody is paid
  failed = 4,        // no answer: nobody is paid
};

using FileId = Id<struct FileTag>;    // "file_…"
using BatchId = Id<struct BatchTag>;  // "batch_…"

// What becomes of one line of a batch. It is written once, by the router that has the batch under this epoch.
struct LineResult {
  BatchId batch;
  std::uint64_t epoch = 0;
  std::uint32_t line = 0;  // counted from 0
  bool completed = false;  // else the text goes to the batch's errors
  std::string text;        // with its line end
  friend bool operator==(const LineResult&, const LineResult&) = default;
};

// One choice of one task, named by both; it is settled once.
struct Settlement {
  TaskId task;
  std::uint32_t choice = 0;
  SessionId session;
  std::vector<Payment>
      payments;  // amounts >= 0; zero moves nothing and is not kept. None when invalid or failed
  Usage usage;
  TaskOutcome outcome = TaskOutcome::unchecked;
  Digest receipt{};
  std::optional<std::uint64_t> epoch = {};  // the session's, if its owner says so; not kept
  // Of a line of a batch: booked only while that is to be done, and written in the same transaction. Of
  // several choices the last one has the text. Not kept.
  std::optional<LineResult> line = {};
  friend bool operator==(const Settlement&, const Settlement&) = default;
};

struct SettledTask {
  Settlement settlement;  // payments in the order given, without zero ones
  WallTime settled;
  std::optional<std::string> reversed;  // the reason, if the payments were taken back
  friend bool operator==(const SettledTask&, const SettledTask&) = default;
};

struct Node {
  NodeId id;
  std::vector<Role> roles;  // admitted as, ascending
  WallTime first_seen;
  WallTime last_seen;
  std::uint32_t strikes = 0;
  bool quarantined = false;
  std::string reason;              // of the latest strike or quarantine
  std::optional<Digest> evidence;  // likewise
  Credits balance;                 // earned and not paid out
  friend bool operator==(const Node&, const Node&) = default;
};

enum class EntryKind : std::uint8_t {
  deposit = 0,
  payout = 1,
  hold = 2,
  release = 3,
  settle = 4,
  reverse = 5
};

// One line of the book. The postings of one entry sum to zero.
struct Posting {
  std::uint64_t entry = 0;  // ascending in time
  EntryKind kind = EntryKind::deposit;
  std::string
      reference;  // unique per kind: the caller's for deposit and payout, the session, or task "/" choice
  Book book;
  Credits amount;                      // into the book; never zero
  std::optional<Payment::Kind> party;  // of a payment or its reversal
  WallTime at;
  friend bool operator==(const Posting&, const Posting&) = default;
};

struct Released {
  SessionId session;
  Credits amount;
  friend bool operator==(const Released&, const Released&) = default;
};

struct AuditReport {
  std::string violation;  // the first one found; empty when the books are clean
  std::uint64_t entries = 0;
  std::uint64_t postings = 0;
  std::uint64_t tasks = 0;
  bool clean() const { return violation.empty(); }
};

// What every text here must be: valid UTF-8 without control characters (C0, DEL, C1), at most kMaxText bytes.
Status check_text(std::string_view what, std::string_view text);

std::string_view to_string(SessionState state);
std::string_view to_string(TaskOutcome outcome);
std::string_view to_string(EntryKind kind);

}  // namespace cortensor::ledger
