#include "ledger/database.h"

#include <algorithm>
#include <random>
#include <thread>

namespace cortensor::ledger {

// ---- Query ----

bool Query::next() {
  return rows_ && !database_->failed() && rows_->next();
}

Digest Query::digest(int column) const {
  if (const auto found = rows_ ? rows_->digest(column) : std::nullopt) return *found;
  mark_corrupt();
  return {};
}

void Query::mark_corrupt() const {
  database_->mark_corrupt("a stored value is out of its range");
}

// ---- Database ----

void Database::fail_with(ErrorKind kind, std::string what, bool collided) {
  if (failed()) return;
  error_ = fail(kind, "ledger " + name_ + ": " + std::move(what));
  collided_ = collided;
}

void Database::report_success() {
  if (!health_ || told_.empty()) return;
  told_.clear();
  health_(ok());
}

Error Database::told() {
  const Error error = *error_;
  if (health_ && told_ != error.message) {
    told_ = error.message;
    health_(error);
  }
  return error;
}

// Longer from time to time and never alike, so that those who collided do not meet again.
void Database::pause(int attempt) {
  thread_local std::minstd_rand random(std::random_device{}());
  const int longest = 1 << std::min(attempt, 6);
  std::this_thread::sleep_for(std::chrono::milliseconds(std::uniform_int_distribution(0, longest)(random)));
}

}  // namespace cortensor::ledger
