// The ledger in memory: the plainest form of every rule, an oracle for the other stores and a double in
// tests.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "ledger/ledger.h"

namespace cortensor::ledger {

// `token` makes identifiers and secrets, as SqliteOptions::token; empty: crypto::random_token.
std::unique_ptr<Ledger> make_memory_ledger(
    std::function<std::string(std::string_view prefix, int characters)> token = {});

}  // namespace cortensor::ledger
