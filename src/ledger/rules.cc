#include "ledger/rules.h"

#include <algorithm>

#include "base/hex.h"

namespace cortensor::ledger {
namespace {

constexpr std::uint64_t kMaxTokens = std::uint64_t{1} << 40;

Error invalid(std::string_view what, std::string_view rest) {
  return fail(ErrorKind::invalid_input, std::string(what) + ": " + std::string(rest));
}

// Bytes of the UTF-8 character that `text` begins with, or 0: RFC 3629, no surrogates, shortest forms only.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (length == 0 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  const std::uint8_t second = byte(1);
  const bool wrong = (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
                     (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f);
  return wrong ? 0 : length;
}

}  // namespace

Status check_text(std::string_view what, std::string_view text) {
  if (text.size() > kMaxText)
    return invalid(what, "expected at most " + std::to_string(kMaxText) + " bytes, found " +
                             std::to_string(text.size()));
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0) return invalid(what, "not valid UTF-8");
    const bool c1 = text[0] == '\xc2' && static_cast<std::uint8_t>(text[1]) < 0xa0;  // U+0080 to U+009F
    if (static_cast<std::uint8_t>(text[0]) < 0x20 || text[0] == 0x7f || c1)
      return invalid(what, "control character");
    text.remove_prefix(length);
  }
  return ok();
}

Status check_name(std::string_view what, std::string_view text) {
  if (text.empty()) return invalid(what, "empty");
  return check_text(what, text);
}

Status check_id(std::string_view what, std::string_view text) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  };
  if (text.empty() || text.size() > kMaxText || !std::all_of(text.begin(), text.end(), allowed))
    return invalid(what, "expected 1 to " + std::to_string(kMaxText) + " letters, digits, _ and -");
  return ok();
}

Status check_node(const NodeId& node) {
  if (auto key = bytes32_from_hex(node.value); !key) return std::move(key).error_context("node id");
  return ok();
}

Status check_amount(std::string_view what, Credits amount) {
  if (amount.micro <= 0 || amount > kMaxAmount)
    return invalid(
        what, "expected more than 0 and at most " + to_string(kMaxAmount) + ", found " + to_string(amount));
  return ok();
}

Status check_price(Price price) {
  for (const Credits part : {price.prompt, price.completion})
    if (part.micro < 0 || part > kMaxAmount)
      return invalid("price", "expected 0 to " + to_string(kMaxAmount) + ", found " + to_string(part));
  return ok();
}

Status check_spec(const SessionSpec& spec, WallTime now) {
  if (auto status = check_name("model", spec.model); !status) return status;
  if (auto status = check_amount("budget", spec.budget); !status) return status;
  if (auto status = check_text("label", spec.label); !status) return status;
  for (const auto& limit : {spec.max_prompt_price, spec.max_completion_price})
    if (limit && (limit->micro < 0 || *limit > kMaxAmount))
      return invalid("price limit",
                     "expected 0 to " + to_string(kMaxAmount) + ", found " + to_string(*limit));
  if (spec.redundancy < 1 || spec.redundancy > 16)
    return invalid("redundancy", "expected 1 to 16, found " + std::to_string(spec.redundancy));
  if (spec.expiry <= now) return invalid("expiry", "expected a time to come");

  const ServiceLevel& service = spec.service;
  if (service.min_tokens_per_second > kMaxPace || service.max_first_token_ms > kMaxFirstTokenMs ||
      service.min_reliability_ppm > kMillion || service.miners.size() > kMaxNamedMiners)
    return invalid("service level", "a limit that is out of range");
  for (const NodeId& miner : service.miners)
    if (auto status = check_node(miner); !status) return status;

  const Validation& v = spec.validation;
  const bool spot = v.level == ValidationLevel::spot, quorum = v.level == ValidationLevel::quorum;
  if (v.level > ValidationLevel::quorum) return invalid("validation", "unknown level");
  if (spot ? v.spot_ppm < 1 || v.spot_ppm > kMillion : v.spot_ppm != 0)
    return invalid("spot probability", "expected 1 to 1000000 parts per million at level spot, else 0");
  if (quorum ? v.quorum_n < 2 || v.quorum_n > 16 || v.quorum_k > v.quorum_n || v.quorum_k * 2 <= v.quorum_n
             : v.quorum_k != 0 || v.quorum_n != 0)
    return invalid("quorum", "expected k of n with n/2 < k <= n <= 16 at level quorum, else 0 of 0");
  return ok();
}

Status check_join_token(WallTime expiry, std::uint32_t uses, WallTime now) {
  if (uses < 1 || uses > kMillion)
    return invalid("uses of a join token", "expected 1 to 1000000, found " + std::to_string(uses));
  if (expiry <= now) return invalid("expiry of a join token", "expected a time to come");
  return ok();
}

Result<Credits> checked_total(const Settlement& settlement) {
  if (auto status = check_id("task", settlement.task.value); !status) return status.error();
  if (settlement.payments.size() > kMaxPayments)
    return invalid("payments", "expected at most " + std::to_string(kMaxPayments));
  if (settlement.usage.prompt_tokens > kMaxTokens || settlement.usage.completion_tokens > kMaxTokens)
    return invalid("usage", "impossible number of tokens");
  if (settlement.outcome > TaskOutcome::failed) return invalid("outcome", "unknown");
  Credits total;
  for (const Payment& payment : settlement.payments) {
    if (auto status = check_node(payment.party); !status) return status.error();
    if (payment.kind > Payment::Kind::router) return invalid("payment", "unknown kind");
    if (payment.amount < 0 || Credits{payment.amount} > kMaxAmount)
      return invalid("payment", "expected 0 to " + to_string(kMaxAmount) + ", found " +
                                    to_string(Credits{payment.amount}));
    total += Credits{payment.amount};  // at most kMaxPayments * kMaxAmount: fits
  }
  if (settlement.outcome >= TaskOutcome::invalid && total.micro != 0)
    return invalid("payments", "nobody is paid for a task that is invalid or failed");
  return total;
}

Status check_price_limits(const SessionSpec& spec, Price price) {
  const auto within = [&](std::string_view what, Credits costs,
                          const std::optional<Credits>& limit) -> Status {
    if (!limit || costs <= *limit) return ok();
    return fail(ErrorKind::conflict, "model " + spec.model + ": " + std::string(what) + " price " +
                                         to_string(costs) + " per million tokens is above the limit " +
                                         to_string(*limit));
  };
  if (auto status = within("prompt", price.prompt, spec.max_prompt_price); !status) return status;
  return within("completion", price.completion, spec.max_completion_price);
}

Error no_such(std::string_view kind, std::string_view id) {
  // What was asked for may be anything; only a plausible name is worth repeating.
  const bool plausible = check_name("", id).has_value();
  return fail(ErrorKind::not_found,
              "no such " + std::string(kind) + (plausible ? ": " + std::string(id) : ""));
}
Error name_taken(std::string_view name) {
  return fail(ErrorKind::conflict, "an account named " + std::string(name) + " exists");
}
Error reference_used(std::string_view reference) {
  return fail(ErrorKind::conflict, "reference " + std::string(reference) + " was used before");
}
Error money_short(std::string_view whose, Credits has, Credits needs) {
  return fail(ErrorKind::payment_required,
              std::string(whose) + " has " + to_string(has) + " credits, needed are " + to_string(needs));
}
Error supply_exceeded() {
  return fail(ErrorKind::invalid_input, "deposit: exceeds all the money this ledger can hold");
}
Error unknown_secret(std::string_view kind) {
  return fail(ErrorKind::unauthenticated, std::string(kind) + " is not known");
}
Status settled_again(const Settlement& settlement, const SessionId& session, const Digest& receipt) {
  if (settlement.session == session && settlement.receipt == receipt && receipt != Digest{}) return ok();
  return fail(ErrorKind::conflict,
              "task " + task_reference(settlement.task, settlement.choice) + " is settled already");
}
Error session_ended(const SessionId& session, SessionState state) {
  return fail(ErrorKind::conflict, "session " + session.value + " is " + std::string(to_string(state)));
}
Error session_taken(const SessionId& session, std::string_view router) {
  return fail(ErrorKind::conflict, "session " + session.value + " is at router " + std::string(router));
}
Error epoch_over(const SessionId& session) {
  return fail(ErrorKind::conflict, "session " + session.value + " went to another router");
}
Error not_reversible(const TaskId& task, std::uint32_t choice, std::string_view why) {
  return fail(ErrorKind::conflict, "task " + task_reference(task, choice) + ": " + std::string(why));
}
Error node_quarantined(const NodeId& node, std::string_view reason) {
  return fail(ErrorKind::forbidden, "node " + node.value + " is quarantined: " + std::string(reason));
}
Error token_refused(std::string_view why) {
  return fail(ErrorKind::forbidden, "join token " + std::string(why));
}

Result<std::size_t> checked_schema(std::int64_t version, std::size_t known) {
  if (version >= 0 && version <= static_cast<std::int64_t>(known)) return static_cast<std::size_t>(version);
  return fail(ErrorKind::unsupported, "the ledger has schema version " + std::to_string(version) +
                                          ", written by a later program; this one knows " +
                                          std::to_string(known));
}

bool is_storable(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0 || text[0] == '\0') return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string task_reference(const TaskId& task, std::uint32_t choice) {
  return task.value + "/" + std::to_string(choice);
}

}  // namespace cortensor::ledger
