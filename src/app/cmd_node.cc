// cortensor miner, cortensor validator: join a network with one command.
#include <cstdlib>

#include "app/node_command.h"
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
  command->add_option("--join", options->join, "join link that the router's operator gave you")->required();
  command->add_option("-m,--model", options->models, "model file, PATH or ID=PATH; may be repeated")
      ->required();
  command->add_option("--key", options->key_path, "this node's identity; made on first use")
      ->capture_default_str();
  command->add_option("--threads", options->threads, "0 is one per processor")
      ->capture_default_str()
      ->check(CLI::Range(0, 1024));
  command->add_option("--slots", options->slots, slots_help)
      ->capture_default_str()
      ->check(CLI::Range(1, 256));
  command->add_option("--isa", options->isa, "force scalar, avx2 or avx512");
  examples(command,
           "  cortensor " + name +
               " --join 'cortensor://router.example:7601/KEY?token=TOKEN' --model llama-tales-26m.q8_0.gguf");
  run_with(command, [options] { return run_node(*options); });
}

}  // namespace

void add_miner(CLI::App& root) {
  add_node(root, protocol::Role::miner, "Run models for a router and earn", "answers at the same time");
}

void add_validator(CLI::App& root) {
  add_node(root, protocol::Role::validator, "Check miners' answers for a router and earn",
           "checks at the same time");
}

}  // namespace cortensor::app
