// The ledger's database on a PostgreSQL server, which several routers may share. Private to the folder.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "ledger/database.h"

namespace cortensor::ledger {

// Connects, and brings the tables of the schema `cortensor` up to date. A connection that is lost is made
// anew by the next transaction.
Result<std::unique_ptr<Database>> open_postgres(const std::string& url, std::chrono::milliseconds patience);

}  // namespace cortensor::ledger
