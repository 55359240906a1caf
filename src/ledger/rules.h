// What every store refuses before it looks at its state, and the words it refuses with. Private to the
// folder.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "ledger/types.h"

namespace cortensor::ledger {

using TokenSource = std::function<std::string(std::string_view prefix, int characters)>;

inline constexpr int kIdCharacters = 22;      // 132 bits
inline constexpr int kSecretCharacters = 43;  // 258 bits

// As check_text() of types.h, and not empty: names and references.
Status check_name(std::string_view what, std::string_view text);
// 1 to kMaxText of A-Z a-z 0-9 _ -
Status check_id(std::string_view what, std::string_view text);
Status check_node(const NodeId& node);
// 1 micro-credit to kMaxAmount.
Status check_amount(std::string_view what, Credits amount);
Status check_price(Price price);
Status check_spec(const SessionSpec& spec, WallTime now);
Status check_join_token(WallTime expiry, std::uint32_t uses, WallTime now);

// The sum of the payments; invalid_input for a settlement that could never be.
Result<Credits> checked_total(const Settlement& settlement);

// conflict when the model costs more than the session allows.
Status check_price_limits(const SessionSpec& spec, Price price);

// What is said to a settlement of a task that is in the books already, for that session and receipt: success
// when it is the same one once more, as its first answer was lost; conflict otherwise.
Status settled_again(const Settlement& settlement, const SessionId& session, const Digest& receipt);

Error no_such(std::string_view kind, std::string_view id);
Error name_taken(std::string_view name);
Error reference_used(std::string_view reference);
Error money_short(std::string_view whose, Credits has, Credits needs);
Error supply_exceeded();
Error unknown_secret(std::string_view kind);
Error session_ended(const SessionId& session, SessionState state);
Error session_taken(const SessionId& session, std::string_view router);
Error epoch_over(const SessionId& session);
Error not_reversible(const TaskId& task, std::uint32_t choice, std::string_view why);
Error node_quarantined(const NodeId& node, std::string_view reason);
Error token_refused(std::string_view why);

// A schema's version, unless a later program wrote it than one that knows `known` versions.
Result<std::size_t> checked_schema(std::int64_t version, std::size_t known);

// UTF-8 without NUL: what every database can hold as text.
bool is_storable(std::string_view text);

std::string task_reference(const TaskId& task, std::uint32_t choice);

}  // namespace cortensor::ledger
