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

void Database::fail_with(ErrorKind kind, std::string what, std::string details) {
  if (failed()) return;
  error_ = fail(kind, "ledger " + name_ + ": " + std::move(what));
  details_ = std::move(details);
}

void Database::report_success() {
  if (!health_ || told_.empty()) return;
  told_.clear();
  health_(ok());
}

Error Database::told() {
  Error full = *error_;
  if (!details_.empty()) full.message += ": " + details_;
  if (!health_) return full;
  if (told_ != full.message) {
    told_ = full.message;
    health_(full);
  }
  return *error_;
}

// Longer from time to time and never alike, so that those who collided do not meet again.
void Database::pause(int attempt) {
  thread_local std::minstd_rand random(std::random_device{}());
  const int longest = 1 << std::min(attempt, 6);
  std::this_thread::sleep_for(std::chrono::milliseconds(std::uniform_int_distribution(0, longest)(random)));
}

}  // namespace cortensor::ledger
