// --ledger, of the operator's commands: where a router's ledger is.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "base/result.h"
#include "ledger/ledger.h"

namespace cortensor::app {

void add_ledger_option(CLI::App* command, std::string& ledger);

// The ledger that a router has made already: `ledger`, or ledger.sqlite in the folder `data` when that is
// empty.
Result<std::unique_ptr<ledger::Ledger>> open_routers_ledger(const std::string& ledger,
                                                            const std::string& data);

}  // namespace cortensor::app
