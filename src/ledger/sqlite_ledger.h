// The ledger in one SQLite file: write-ahead log, a full sync per change. Spec: docs/spec/ledger.md, 5.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "ledger/ledger.h"

namespace cortensor::ledger {

struct SqliteOptions {
  std::chrono::milliseconds busy_timeout{5000};  // how long a change waits for another process's change
  std::string vfs;                               // a registered SQLite VFS by name; empty: the default one
  // Makes identifiers and secrets: prefix and so many random characters. Empty: crypto::random_token.
  std::function<std::string(std::string_view prefix, int characters)> token;
  // Told when the store begins to fail, with the reason, when the reason changes, and once a change succeeds
  // again; from within the call that finds out.
  std::function<void(const Status&)> health;
};

// Opens or creates the file (mode 0600), checks its integrity, and brings its schema up to date.
// corrupt: not a ledger, or damaged; unsupported: written by a later version; unavailable: cannot be opened.
Result<std::unique_ptr<Ledger>> open_sqlite_ledger(const std::filesystem::path& path,
                                                   SqliteOptions options = {});

}  // namespace cortensor::ledger
