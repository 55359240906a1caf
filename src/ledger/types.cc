#include "ledger/types.h"

namespace cortensor::ledger {

Book external_book() {
  return Book("external");
}
Book book_of(const AccountId& account) {
  return Book(account.value);
}
Book book_of(const SessionId& session) {
  return Book("hold:" + session.value);
}
Book book_of(const NodeId& node) {
  return Book("node:" + node.value);
}

std::string_view to_string(SessionState state) {
  switch (state) {
    case SessionState::open:
      return "open";
    case SessionState::closed:
      return "closed";
    case SessionState::expired:
      return "expired";
  }
  return "unknown";
}

std::string_view to_string(TaskOutcome outcome) {
  switch (outcome) {
    case TaskOutcome::unchecked:
      return "unchecked";
    case TaskOutcome::valid:
      return "valid";
    case TaskOutcome::inconclusive:
      return "inconclusive";
    case TaskOutcome::invalid:
      return "invalid";
    case TaskOutcome::failed:
      return "failed";
  }
  return "unknown";
}

std::string_view to_string(EntryKind kind) {
  switch (kind) {
    case EntryKind::deposit:
      return "deposit";
    case EntryKind::payout:
      return "payout";
    case EntryKind::hold:
      return "hold";
    case EntryKind::release:
      return "release";
    case EntryKind::settle:
      return "settle";
    case EntryKind::reverse:
      return "reverse";
  }
  return "unknown";
}

}  // namespace cortensor::ledger
