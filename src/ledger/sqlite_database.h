// The ledger's database in one SQLite file: write-ahead log, a full sync per change. Private to the folder.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>

#include "ledger/database.h"

namespace cortensor::ledger {

// Opens or creates the file with mode 0600, checks it, and brings its tables up to date.
Result<std::unique_ptr<Database>> open_sqlite(const std::filesystem::path& path,
                                              std::chrono::milliseconds patience, const std::string& vfs);

}  // namespace cortensor::ledger
