// cortensor models: what a router serves, and at which price.
#include <cstdio>

#include "app/command.h"
#include "app/printable.h"
#include "app/remote.h"
#include "app/subcommands.h"
#include "base/units.h"

namespace cortensor::app {

void add_models(CLI::App& root) {
  auto remote = std::make_shared<Remote>();
  CLI::App* command =
      root.add_subcommand("models", "What a router serves, its prices, and how many miners have it");
  add_remote_options(command, *remote);
  examples(command, "  cortensor models\n  cortensor models --url https://router.example --key-file key");
  run_with(command, [remote]() -> Result<Exit> {
    const auto api = connect(*remote);
    if (!api) return api.error();
    const auto rows = (*api)->models();
    if (!rows) return rows.error();
    std::printf("%-32s %-6s %8s %22s %8s\n", "model", "type", "context", "credits/M in, out", "miners");
    for (const client::ModelRow& row : *rows)
      std::printf("%-32s %-6s %8lld %11s %10s %8lld\n", printable_line(row.id).c_str(),
                  printable_line(row.quantisation).c_str(), static_cast<long long>(row.context_length),
                  to_string(Credits{row.prompt_price}).c_str(),
                  to_string(Credits{row.completion_price}).c_str(), static_cast<long long>(row.miners));
    return Exit::success;
  });
}

}  // namespace cortensor::app
