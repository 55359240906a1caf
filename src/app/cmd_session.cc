// cortensor session: open, look at and close paid sessions.
#include <cstdio>

#include "app/command.h"
#include "app/remote.h"
#include "app/subcommands.h"
#include "base/units.h"

namespace cortensor::app {
namespace {

struct Options {
  Remote remote;
  client::NewSession wanted;
  std::string budget = "1", id;
};

std::string credits(std::int64_t micro) {
  return to_string(Credits{micro});
}

void print_header() {
  std::printf("%-28s %-24s %-8s %-7s %12s %12s %12s\n", "session", "model", "checks", "state", "budget",
              "left", "spent");
}

void print(const client::SessionRow& row) {
  std::printf("%-28s %-24s %-8s %-7s %12s %12s %12s\n", row.id.c_str(), row.model.c_str(),
              row.validation.c_str(), row.state.c_str(), credits(row.budget).c_str(),
              credits(row.hold).c_str(), credits(row.spent).c_str());
}

Result<Exit> print_one(const Result<client::SessionRow>& row) {
  if (!row) return row.error();
  print_header();
  print(*row);
  return Exit::success;
}

Result<Exit> open(Options options) {
  const auto budget = parse_credits(options.budget);
  if (!budget) return budget.error();
  options.wanted.budget = budget->micro;
  auto api = connect(options.remote);
  if (options.wanted.model.empty()) {
    const auto models = api.models();
    if (!models) return models.error();
    if (models->empty()) return fail(ErrorKind::not_found, "the router serves no model");
    options.wanted.model = models->front().id;
  }
  return print_one(api.create_session(options.wanted));
}

Result<Exit> list(const Options& options) {
  auto api = connect(options.remote);
  const auto rows = api.sessions();
  if (!rows) return rows.error();
  print_header();
  for (const client::SessionRow& row : *rows) print(row);
  const auto balance = api.balance();
  if (!balance) return balance.error();
  std::printf("free credits: %s\n", credits(*balance).c_str());
  return Exit::success;
}

}  // namespace

void add_session(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* command = root.add_subcommand("session", "Open, look at and close paid sessions");
  command->require_subcommand(1);
  add_remote_options(command, options->remote);
  examples(command,
           "  cortensor session open --budget 2 --validation full\n"
           "  cortensor session open --validation quorum --quorum-k 2 --quorum-n 2\n"
           "  cortensor session list\n"
           "  cortensor session close sess_…");

  CLI::App* make = command->add_subcommand("open", "Set money aside for answers");
  make->add_option("-m,--model", options->wanted.model, "by default the router's first");
  make->add_option("--budget", options->budget, "credits")->capture_default_str();
  make->add_option("--validation", options->wanted.validation, "how sure to be of answers")
      ->check(CLI::IsMember({"none", "spot", "full", "quorum"}))
      ->capture_default_str();
  make->add_option("--spot", options->wanted.spot_probability, "probability of a check at level spot")
      ->capture_default_str();
  make->add_option("--quorum-k", options->wanted.quorum_k, "equal answers needed")->capture_default_str();
  make->add_option("--quorum-n", options->wanted.quorum_n, "miners asked")->capture_default_str();
  make->add_option("--expires-in", options->wanted.expires_in_seconds, "seconds")->capture_default_str();
  run_with(make, [options] { return open(*options); });

  run_with(command->add_subcommand("list", "All sessions of this key's account"),
           [options] { return list(*options); });

  CLI::App* show = command->add_subcommand("show", "One session");
  show->add_option("ID", options->id)->required();
  run_with(show, [options] { return print_one(connect(options->remote).session(options->id)); });

  CLI::App* close = command->add_subcommand("close", "End a session; what is left goes back to the account");
  close->add_option("ID", options->id)->required();
  run_with(close, [options] { return print_one(connect(options->remote).close_session(options->id)); });
}

}  // namespace cortensor::app
