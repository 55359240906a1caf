// cortensor invite: a join link for a miner or a validator, made by the router's operator.
#include <chrono>
#include <cstdio>
#include <filesystem>

#include "app/command.h"
#include "app/ledger_option.h"
#include "app/number_option.h"
#include "app/secret_file.h"
#include "app/subcommands.h"
#include "crypto/ed25519.h"
#include "protocol/join_link.h"

namespace cortensor::app {
namespace {

struct Options {
  std::string data, ledger, role = "miner", address, token_file;
  std::uint32_t uses = 1, days = 7;
};

Result<Exit> invite(const Options& options) {
  std::error_code error;
  if (!std::filesystem::exists(options.data + "/router.key", error))
    return fail(ErrorKind::not_found,
                "no router's key in " + options.data + "; start the router once to make one");
  warn_if_exposed(options.data + "/router.key");
  const auto key = crypto::PrivateKey::load_or_create(options.data + "/router.key");
  if (!key) return key.error();
  // Read as a node will read it, before a token is made for it.
  auto link = protocol::parse_join_link("cortensor://" + options.address + "/" + key->node_id().value);
  if (!link) return link.error();
  auto book = open_routers_ledger(options.ledger, options.data);
  if (!book) return book.error();
  const auto now = std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
  const auto role = options.role == "miner" ? ledger::Role::miner : ledger::Role::validator;
  const auto token =
      (*book)->create_join_token(role, now + std::chrono::days(options.days), options.uses, now);
  if (!token) return token.error();
  if (options.token_file.empty())
    link->token = *token;
  else if (Status written = write_secret(options.token_file, *token); !written)
    return std::move(written).error_context("--token-file");
  std::printf("%s\n", to_string(*link).c_str());
  return Exit::success;
}

}  // namespace

void add_invite(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* command = root.add_subcommand("invite", "Operator: make a join link for miners or validators");
  command->add_option("--data", options->data, "the router's data folder")->required();
  add_ledger_option(command, options->ledger);
  command->add_option("--address", options->address, "HOST:PORT at which nodes reach the router")->required();
  command->add_option("--role", options->role)
      ->check(CLI::IsMember({"miner", "validator"}))
      ->capture_default_str();
  command->add_option("--token-file", options->token_file,
                      "write the token there instead of into the link, for --join-token-file");
  command->add_option("--uses", options->uses, "how many nodes may join with it")
      ->capture_default_str()
      ->transform(whole(1, 1'000'000));
  command->add_option("--days", options->days, "until it expires")
      ->capture_default_str()
      ->transform(whole(1, 3650));
  examples(
      command,
      "  cortensor invite --data local/router --address 127.0.0.1:7601 --role miner --token-file token\n"
      "  cortensor invite --data /var/lib/cortensor --address router.example:7601 --role miner --uses 10");
  run_with(command, [options] { return invite(*options); });
}

}  // namespace cortensor::app
