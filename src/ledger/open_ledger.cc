#include "ledger/open_ledger.h"

#include "crypto/random.h"
#include "ledger/postgres_database.h"
#include "ledger/sql_ledger.h"
#include "ledger/sqlite_database.h"

namespace cortensor::ledger {

bool is_url(std::string_view store) {
  return store.find("://") != std::string_view::npos;
}

namespace {

Result<std::unique_ptr<Database>> open_database(const std::string& store, LedgerOptions& options) {
  auto database = is_url(store) ? open_postgres(store, options.patience)
                                : open_sqlite(store, options.patience, options.sqlite_vfs);
  if (database) (*database)->watch(std::move(options.health));
  return database;
}

}  // namespace

Result<std::unique_ptr<BatchStore>> open_batch_store(const std::string& store, LedgerOptions options) {
  auto database = open_database(store, options);
  if (!database) return database.error();
  return std::make_unique<BatchStore>(std::move(*database));
}

Result<std::unique_ptr<Ledger>> open_ledger(const std::string& store, LedgerOptions options) {
  auto database = open_database(store, options);
  if (!database) return database.error();
  if (!options.token) options.token = crypto::random_token;
  return std::make_unique<SqlLedger>(std::move(*database), std::move(options.token));
}

}  // namespace cortensor::ledger
