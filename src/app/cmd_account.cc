// cortensor account: the operator's tool on a router's ledger; works while the router runs.
#include <chrono>
#include <cstdio>
#include <filesystem>

#include "app/command.h"
#include "app/number_option.h"
#include "app/printable.h"
#include "app/subcommands.h"
#include "ledger/sqlite_ledger.h"

namespace cortensor::app {
namespace {

struct Options {
  std::string data, name, label, credits, reference, account;
};

WallTime now() {
  return std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

Result<std::unique_ptr<ledger::Ledger>> open_ledger(const std::string& data) {
  std::error_code error;
  if (!std::filesystem::exists(data + "/ledger.sqlite", error))
    return fail(ErrorKind::not_found,
                "no router's ledger in " + data + "; start the router once to make one");
  auto opened = ledger::open_sqlite_ledger(data + "/ledger.sqlite");
  if (!opened) return std::move(opened).error_context("ledger in " + data);
  return opened;
}

Result<ledger::Account> named(ledger::Ledger& book, const std::string& name) {
  if (name.starts_with("acct_")) return book.account(AccountId(name));
  return book.find_account(name);
}

Result<Exit> create(const Options& options) {
  auto book = open_ledger(options.data);
  if (!book) return book.error();
  Credits amount{};
  if (!options.credits.empty()) {
    const auto parsed = parse_credits(options.credits);
    if (!parsed) return parsed.error();
    amount = *parsed;
  }
  const auto opened = (*book)->open_account(options.name, amount, "first", now());
  if (!opened) return opened.error();
  std::printf("account  %s\ncredits  %s\nkey      %s\n", opened->key.account.value.c_str(),
              to_string(amount).c_str(), opened->secret.c_str());
  return Exit::success;
}

Result<Exit> deposit(const Options& options) {
  auto book = open_ledger(options.data);
  if (!book) return book.error();
  const auto account = named(**book, options.account);
  if (!account) return account.error();
  const auto amount = parse_credits(options.credits);
  if (!amount) return amount.error();
  const auto balance = (*book)->deposit(account->id, *amount, options.reference, now());
  if (!balance) return balance.error();
  std::printf("balance  %s\n", to_string(*balance).c_str());
  return Exit::success;
}

Result<Exit> create_key(const Options& options) {
  auto book = open_ledger(options.data);
  if (!book) return book.error();
  const auto account = named(**book, options.account);
  if (!account) return account.error();
  const auto key = (*book)->create_api_key(account->id, options.label, now());
  if (!key) return key.error();
  std::printf("key  %s\n", key->secret.c_str());
  return Exit::success;
}

Result<Exit> list(const Options& options) {
  auto book = open_ledger(options.data);
  if (!book) return book.error();
  const auto accounts = (*book)->list_accounts();
  if (!accounts) return accounts.error();
  std::printf("%-28s %-20s %16s\n", "account", "name", "credits");
  for (const ledger::Account& account : *accounts)
    std::printf("%-28s %-20s %16s\n", account.id.value.c_str(), printable_line(account.name).c_str(),
                to_string(account.balance).c_str());
  const auto nodes = (*book)->list_nodes();
  if (!nodes) return nodes.error();
  for (const ledger::Node& node : *nodes)
    std::printf("%-28.28s %-20s %16s%s\n", node.id.value.c_str(),
                node.roles.empty() ? "" : std::string(to_string(node.roles.front())).c_str(),
                to_string(node.balance).c_str(), node.quarantined ? "  quarantined" : "");
  return Exit::success;
}

Result<Exit> audit(const Options& options) {
  auto book = open_ledger(options.data);
  if (!book) return book.error();
  const auto report = (*book)->audit();
  if (!report) return report.error();
  if (!report->clean()) return fail(ErrorKind::corrupt, "the books do not balance: " + report->violation);
  std::printf("the books balance: %llu entries, %llu postings, %llu tasks\n",
              static_cast<unsigned long long>(report->entries),
              static_cast<unsigned long long>(report->postings),
              static_cast<unsigned long long>(report->tasks));
  return Exit::success;
}

}  // namespace

void add_account(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* command = root.add_subcommand("account", "Operator: accounts, keys and books of a router");
  command->require_subcommand(1);
  command->add_option("--data", options->data, "the router's data folder")->required();
  examples(command,
           "  cortensor account --data local/router create alice --credits 5\n"
           "  cortensor account --data local/router deposit alice 2.5 --reference payment-17\n"
           "  cortensor account --data local/router key alice --label laptop\n"
           "  cortensor account --data local/router list\n"
           "  cortensor account --data local/router audit");

  CLI::App* make = command->add_subcommand("create", "Open an account with a first API key");
  make->add_option("NAME", options->name)->required();
  make->add_option("--credits", options->credits, "to begin with, for example 5 or 0.25")
      ->transform(credit_amount(0));
  run_with(make, [options] { return create(*options); });

  CLI::App* pay = command->add_subcommand("deposit", "Add credits to an account");
  pay->add_option("ACCOUNT", options->account, "name or acct_…")->required();
  pay->add_option("CREDITS", options->credits)->required()->transform(credit_amount(1));
  pay->add_option("--reference", options->reference, "of the payment behind it; the same one is booked once")
      ->required();
  run_with(pay, [options] { return deposit(*options); });

  CLI::App* key = command->add_subcommand("key", "Make another API key; it is shown once");
  key->add_option("ACCOUNT", options->account, "name or acct_…")->required();
  key->add_option("--label", options->label, "to tell keys apart")->required();
  run_with(key, [options] { return create_key(*options); });

  run_with(command->add_subcommand("list", "Accounts and nodes with their balances"),
           [options] { return list(*options); });
  run_with(command->add_subcommand("audit", "Add up all books anew"), [options] { return audit(*options); });
}

}  // namespace cortensor::app
