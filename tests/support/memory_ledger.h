// The ledger in memory: the plainest form of every rule, an oracle for the other stores and a double in
// tests.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "ledger/ledger.h"

namespace cortensor::ledger {

// `token` makes identifiers and secrets, as LedgerOptions::token; empty: crypto::random_token. While
// `disk_is_full` points to true, settlements, strikes and quarantines fail as unavailable; it outlives the
// ledger.
std::unique_ptr<Ledger> make_memory_ledger(
    std::function<std::string(std::string_view prefix, int characters)> token = {},
    const bool* disk_is_full = nullptr);

}  // namespace cortensor::ledger
