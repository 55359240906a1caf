// cortensor miner, cortensor validator: join a network with one command.
#include <cstdlib>

#include "app/node_command.h"
#include "app/number_option.h"
#include "app/subcommands.h"

namespace cortensor::app {
namespace {

std::string default_key(protocol::Role role) {
  const char* home = std::getenv("HOME");
  return std::string(home ? home : ".") + "/.cortensor/" + std::string(to_string(role)) + ".key";
}

void add_node(CLI::App& root, protocol::Role role, const std::string& help, const std::string& slots_help) {
  auto options = std::make_shared<NodeOptions>();
  options->role = role;
  options->key_path = default_key(role);
  const std::string name(to_string(role));
  CLI::App* command = root.add_subcommand(name, help);
  command
      ->add_option(
          "--join", options->join,
          "join link that the router's operator gave you; for several routers repeated, or with commas")
      ->delimiter(',')
      ->required();
  command->add_option("--join-token-file", options->join_token_file,
                      "file with the links' token, which is then no part of them");
  // Never an argument: every user of the machine can read those.
  if (const char* token = std::getenv("CORTENSOR_JOIN_TOKEN")) options->join_token = token;
  command->add_option("-m,--model", options->models, "model file, PATH or ID=PATH; may be repeated")
      ->required();
  command->add_option("--key", options->key_path, "this node's identity; made on first use")
      ->capture_default_str();
  command->add_option("--threads", options->threads, "0 is one per processor")
      ->capture_default_str()
      ->transform(thread_count());
  command->add_option("--slots", options->slots, slots_help)->capture_default_str()->transform(whole(1, 256));
  command
      ->add_option(
          "--kv-memory", options->kv_memory,
          "MiB at most for each model's key/value cache; 0 is its share of a quarter of the machine's memory")
      ->capture_default_str()
      ->transform(whole(0, 1 << 24));
  if (role == protocol::Role::miner)
    command->add_option("--only-for", options->only_for,
                        "account to work for, and for nobody else; may be repeated");
  command->add_option("--isa", options->isa, kIsaHelp);
  examples(
      command,
      "  cortensor " + name +
          " --join cortensor://router.example:7601/KEY --join-token-file token --model "
          "llama-tales-26m.q8_0.gguf\n"
          "  cortensor " +
          name +
          " --join cortensor://router.example:7601/KEY --model llama-tales-26m.q8_0.gguf  # joined before\n"
          "The token may also be in CORTENSOR_JOIN_TOKEN.");
  run_with(command, [options] { return run_node(*options); });
}

}  // namespace

void add_miner(CLI::App& root) {
  add_node(root, protocol::Role::miner, "Run models for one router or several and earn",
           "answers at the same time");
}

void add_validator(CLI::App& root) {
  add_node(root, protocol::Role::validator, "Check miners' answers for one router or several and earn",
           "checks at the same time");
}

}  // namespace cortensor::app
