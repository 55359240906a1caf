// cortensor account: the operator's tool on a router's ledger; works while the router runs.
#include <cctype>
#include <chrono>
#include <cstdio>
#include <ctime>

#include "app/command.h"
#include "app/ledger_option.h"
#include "app/number_option.h"
#include "app/printable.h"
#include "app/subcommands.h"
#include "base/hex.h"
#include "crypto/ed25519.h"

namespace cortensor::app {
namespace {

struct Options {
  std::string data, ledger, name, label, credits, reference, account, key_id, node;
};

WallTime now() {
  return std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

Result<ledger::Account> named(ledger::Ledger& book, const std::string& name) {
  if (name.starts_with("acct_")) return book.account(AccountId(name));
  return book.find_account(name);
}

Result<Exit> create(const Options& options) {
  auto book = open_routers_ledger(options.ledger, options.data);
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
  auto book = open_routers_ledger(options.ledger, options.data);
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
  auto book = open_routers_ledger(options.ledger, options.data);
  if (!book) return book.error();
  const auto account = named(**book, options.account);
  if (!account) return account.error();
  const auto key = (*book)->create_api_key(account->id, options.label, now());
  if (!key) return key.error();
  std::printf("id   %s\nkey  %s\n", key->key.id.c_str(), key->secret.c_str());
  return Exit::success;
}

std::string date_of(WallTime time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M", &utc)};
}

Result<Exit> list_keys(const Options& options) {
  auto book = open_routers_ledger(options.ledger, options.data);
  if (!book) return book.error();
  const auto account = named(**book, options.account);
  if (!account) return account.error();
  const auto keys = (*book)->list_api_keys(account->id);
  if (!keys) return keys.error();
  std::printf("%-16s  %-16s  %-7s  %s\n", "key id", "made (UTC)", "state", "label");
  for (const ledger::ApiKey& key : *keys)
    std::printf("%-16s  %-16s  %-7s  %s\n", key.id.c_str(), date_of(key.created).c_str(),
                key.revoked ? "revoked" : "valid", printable_line(key.label).c_str());
  return Exit::success;
}

Result<Exit> revoke(const Options& options) {
  auto book = open_routers_ledger(options.ledger, options.data);
  if (!book) return book.error();
  if (auto status = (*book)->revoke_api_key(options.key_id); !status) return std::move(status).error();
  std::printf("revoked  %s\n", options.key_id.c_str());
  return Exit::success;
}

Result<Exit> pardon(const Options& options) {
  auto book = open_routers_ledger(options.ledger, options.data);
  if (!book) return book.error();
  if (auto status = (*book)->pardon(NodeId(options.node), now()); !status) return std::move(status).error();
  std::printf("pardoned  %s\n", options.node.c_str());
  return Exit::success;
}

Result<Exit> pay_out(const Options& options) {
  auto book = open_routers_ledger(options.ledger, options.data);
  if (!book) return book.error();
  const auto amount = parse_credits(options.credits);
  if (!amount) return amount.error();
  const auto left = (*book)->pay_out(NodeId(options.node), *amount, options.reference, now());
  if (!left) return left.error();
  std::printf("left  %s\n", to_string(*left).c_str());
  return Exit::success;
}

// The router earns its fees in a book of its own, which no admission has made.
Result<ledger::Node> router_of(ledger::Ledger& book, const std::string& data) {
  const auto key = crypto::PrivateKey::load_or_create(data + "/router.key");
  if (!key) return key.error();
  const auto balance = book.balance(ledger::book_of(key->node_id()));
  if (!balance) return balance.error();
  ledger::Node router;
  router.id = key->node_id();
  router.balance = *balance;
  return router;
}

void print_node(const ledger::Node& node, const std::string& roles) {
  const std::string reason = node.reason.empty() ? "" : "  " + printable_line(node.reason);
  std::printf("%-64s  %-16s %16s %8u%s%s\n", node.id.value.c_str(), roles.c_str(),
              to_string(node.balance).c_str(), node.strikes, node.quarantined ? "  quarantined" : "",
              reason.c_str());
}

Result<Exit> list(const Options& options) {
  auto book = open_routers_ledger(options.ledger, options.data);
  if (!book) return book.error();
  const auto accounts = (*book)->list_accounts();
  if (!accounts) return accounts.error();
  std::printf("%-28s %-20s %16s\n", "account", "name", "credits");
  for (const ledger::Account& account : *accounts)
    std::printf("%-28s %-20s %16s\n", account.id.value.c_str(), printable_line(account.name).c_str(),
                to_string(account.balance).c_str());
  const auto router = router_of(**book, options.data);
  if (!router) return router.error();
  const auto nodes = (*book)->list_nodes();
  if (!nodes) return nodes.error();
  std::printf("\n%-64s  %-16s %16s %8s\n", "node", "role", "credits", "strikes");
  print_node(*router, "router");
  for (const ledger::Node& node : *nodes) {
    std::string roles;
    for (const ledger::Role role : node.roles)
      roles += (roles.empty() ? "" : ",") + std::string(to_string(role));
    print_node(node, roles);
  }
  return Exit::success;
}

Result<Exit> audit(const Options& options) {
  auto book = open_routers_ledger(options.ledger, options.data);
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

// In whatever case a person has copied it.
CLI::Validator node_key() {
  const auto read = [](std::string& text) -> std::string {
    for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return bytes32_from_hex(text) ? "" : "expected 64 hexadecimal digits, found '" + text + "'";
  };
  return CLI::Validator(read, "NODE");
}

}  // namespace

void add_account(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* command = root.add_subcommand("account", "Operator: accounts, keys and books of a router");
  command->require_subcommand(1);
  command->add_option("--data", options->data, "the router's data folder")->required();
  add_ledger_option(command, options->ledger);
  examples(command,
           "  cortensor account --data local/router create alice --credits 5\n"
           "  cortensor account --data local/router deposit alice 2.5 --reference payment-17\n"
           "  cortensor account --data local/router key alice --label laptop\n"
           "  cortensor account --data local/router keys alice\n"
           "  cortensor account --data local/router revoke 0123456789abcdef\n"
           "  cortensor account --data local/router pardon NODE\n"
           "  cortensor account --data local/router payout NODE 12.5 --reference transfer-4\n"
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

  CLI::App* keys = command->add_subcommand("keys", "API keys of an account, without their secrets");
  keys->add_option("ACCOUNT", options->account, "name or acct_…")->required();
  run_with(keys, [options] { return list_keys(*options); });

  CLI::App* end = command->add_subcommand("revoke", "End an API key at once; the account and its money stay");
  end->add_option("KEY-ID", options->key_id, "as `keys` shows it")->required();
  run_with(end, [options] { return revoke(*options); });

  CLI::App* forgive = command->add_subcommand("pardon", "Take a node's strikes and its quarantine back");
  forgive->add_option("NODE", options->node, "its key, 64 hexadecimal digits")
      ->required()
      ->transform(node_key());
  run_with(forgive, [options] { return pardon(*options); });

  CLI::App* payout =
      command->add_subcommand("payout", "Book that a node, or the router, was paid its earnings");
  payout->add_option("NODE", options->node, "its key, 64 hexadecimal digits")
      ->required()
      ->transform(node_key());
  payout->add_option("CREDITS", options->credits)->required()->transform(credit_amount(1));
  payout
      ->add_option("--reference", options->reference, "of the payment behind it; the same one is booked once")
      ->required();
  run_with(payout, [options] { return pay_out(*options); });

  run_with(command->add_subcommand("list", "Accounts, the router and nodes with their balances"),
           [options] { return list(*options); });
  run_with(command->add_subcommand("audit", "Add up all books anew"), [options] { return audit(*options); });
}

}  // namespace cortensor::app
