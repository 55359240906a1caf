#include "app/ledger_option.h"

#include <filesystem>

#include "ledger/open_ledger.h"

namespace cortensor::app {

void add_ledger_option(CLI::App* command, std::string& ledger) {
  command->add_option(
      "--ledger", ledger,
      "file, or postgresql://USER@HOST/DATABASE for several routers (its password: ~/.pgpass); "
      "by default ledger.sqlite in the data folder");
}

Result<std::unique_ptr<ledger::Ledger>> open_routers_ledger(const std::string& ledger,
                                                            const std::string& data) {
  const std::string store = ledger.empty() ? data + "/ledger.sqlite" : ledger;
  std::error_code error;
  if (!ledger::is_url(store) && !std::filesystem::exists(store, error))
    return fail(ErrorKind::not_found,
                "no router's ledger at " + store + "; start the router once to make one");
  return ledger::open_ledger(store);
}

}  // namespace cortensor::app
