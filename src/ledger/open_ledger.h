// Opens the ledger where a router's operator keeps it: in a file (SQLite), or in PostgreSQL for several
// routers. Spec: docs/spec/ledger.md, 5 and 6.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "ledger/batch_store.h"
#include "ledger/ledger.h"

namespace cortensor::ledger {

struct LedgerOptions {
  std::chrono::milliseconds patience{5000};  // how long a change waits for the changes of others
  std::string sqlite_vfs;                    // a registered SQLite VFS by name; empty: the default one
  // Makes identifiers and secrets: prefix and so many random characters. Empty: crypto::random_token.
  std::function<std::string(std::string_view prefix, int characters)> token;
  // Told when the store begins to fail, with the reason, when the reason changes, and once a change succeeds
  // again; from within the call that finds out.
  std::function<void(const Status&)> health;
};

// `store` is a path or a postgresql:// URL. Opens or creates the file (mode 0600) and checks its integrity,
// or connects to the server; brings the schema up to date. The one never stands in for the other. corrupt:
// not a ledger, or damaged; unsupported: written by a later version; unavailable: cannot be opened or
// reached; invalid_input: a URL that cannot be read.
Result<std::unique_ptr<Ledger>> open_ledger(const std::string& store, LedgerOptions options = {});

// The files and batches in the same store. Of the options, patience and health count.
Result<std::unique_ptr<BatchStore>> open_batch_store(const std::string& store, LedgerOptions options = {});

// Whether `store` is a URL, so that there is no file to look for.
bool is_url(std::string_view store);

}  // namespace cortensor::ledger
