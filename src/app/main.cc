// cortensor: AI inference that nobody has to trust. One binary for every role.
#include <CLI/CLI.hpp>
#include <csignal>

#include "app/subcommands.h"

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a lost reader is an error of that write, not the end of the process

  CLI::App root{"AI inference that nobody has to trust: exact, verified, paid to the token.", "cortensor"};
  root.require_subcommand(1);
  root.set_version_flag("--version", "cortensor " CORTENSOR_VERSION);
  root.get_formatter()->column_width(34);
  root.footer(
      "Start here:  cortensor up            a whole network on this machine\n"
      "             cortensor COMMAND --help  every command has examples");

  namespace app = cortensor::app;
  for (const auto add :
       {app::add_up, app::add_chat, app::add_embed, app::add_batch, app::add_session, app::add_verify,
        app::add_models, app::add_generate, app::add_convert, app::add_quantize, app::add_inspect,
        app::add_perplexity, app::add_logits, app::add_bench, app::add_router, app::add_miner,
        app::add_validator, app::add_account, app::add_invite})
    add(root);

  CLI11_PARSE(root, argc, argv);
  return 0;
}
