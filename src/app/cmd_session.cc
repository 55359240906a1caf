// cortensor session: open, look at and close paid sessions.
#include <algorithm>
#include <cctype>
#include <cstdio>
#include <ctime>
#include <optional>

#include "app/command.h"
#include "app/number_option.h"
#include "app/printable.h"
#include "app/remote.h"
#include "app/subcommands.h"
#include "base/hex.h"
#include "engine/model.h"

namespace cortensor::app {
namespace {

constexpr std::uint32_t kLongest = 30 * 24 * 3600;  // seconds that a router lets a session live
constexpr std::size_t kLongestLabel = 512;          // bytes that a router keeps
constexpr std::uint32_t kFastest = 1'000'000, kLongestDelay = 24 * 3600 * 1000;

struct Options {
  Remote remote;
  client::NewSession wanted;
  std::string budget = "1", max_prompt_price, max_completion_price, quantisation, id;
};

// It becomes part of a path.
std::string node_id(const std::string& text) {
  return bytes32_from_hex(text) ? "" : "expected a node id of 64 hex digits, as /v1/nodes lists them";
}

std::string session_id(const std::string& text) {
  const bool plain = std::all_of(text.begin(), text.end(),
                                 [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '-'; });
  return plain && text.starts_with("sess_")
             ? ""
             : "expected sess_ and letters, digits, _ and -, found '" + text + "'";
}

std::string money(std::int64_t micro) {
  return to_string(Credits{micro});
}

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

std::string checks_of(const client::SessionRow& row) {
  if (row.validation == "spot") return "spot " + number(row.probability);
  if (row.validation == "quorum")
    return "quorum " + std::to_string(row.quorum_k) + "/" + std::to_string(row.quorum_n);
  return printable_line(row.validation);
}

std::string time_of(std::int64_t unix_seconds) {
  const std::time_t time = unix_seconds;
  std::tm utc{};
  char text[40] = "?";
  if (::gmtime_r(&time, &utc) != nullptr) std::strftime(text, sizeof text, "%F %T UTC", &utc);
  return text;
}

void print_line(const char* name, const std::string& value) {
  std::printf("%-10s %s\n", name, value.c_str());
}

void print_price_limit(const char* kind, const std::optional<std::int64_t>& limit) {
  if (limit) print_line("limit", money(*limit) + " credits per million " + kind + " tokens");
}

void print_all(const client::SessionRow& row) {
  print_line("session", printable_line(row.id));
  print_line("state",
             printable_line(row.state) + (row.implicit ? ", opened by the router for this key" : ""));
  print_line("model", printable_line(row.model));
  if (!row.label.empty()) print_line("label", printable_line(row.label));
  print_line("checks", checks_of(row));
  print_line("miners",
             std::to_string(row.validation == "quorum" ? row.quorum_n : row.redundancy) + " per answer");
  for (const std::string& miner : row.miners) print_line("only", printable_line(miner));
  if (row.min_tokens_per_second > 0)
    print_line("pace", "at least " + std::to_string(row.min_tokens_per_second) + " tokens a second");
  if (row.max_first_token_ms > 0)
    print_line("first token", "within " + std::to_string(row.max_first_token_ms) + " ms");
  if (row.min_reliability > 0) print_line("reliable", "at least " + number(row.min_reliability));
  print_price_limit("prompt", row.max_prompt_price);
  print_price_limit("answer", row.max_completion_price);
  print_line("opened", time_of(row.opened_at));
  if (row.ended_at)
    print_line("ended", time_of(*row.ended_at));
  else
    print_line("expires", time_of(row.expires_at));
  print_line("budget", money(row.budget) + " credits");
  print_line("spent", money(row.spent) + " credits");
  print_line("left",
             money(row.hold) + " credits" +
                 (row.reserved > 0 ? ", " + money(row.reserved) + " of them for answers in progress" : ""));
}

// The limits as numbers, and what the level does not go with.
Status complete(Options& options) {
  client::NewSession& wanted = options.wanted;
  const auto amount = [](const std::string& text) {
    return parse_credits(text)->micro;
  };  // checked by the parser
  wanted.budget = amount(options.budget);
  if (!options.max_prompt_price.empty()) wanted.max_prompt_price = amount(options.max_prompt_price);
  if (!options.max_completion_price.empty())
    wanted.max_completion_price = amount(options.max_completion_price);
  if (wanted.validation == "quorum" &&
      (wanted.quorum_k > wanted.quorum_n || 2 * wanted.quorum_k <= wanted.quorum_n))
    return fail(ErrorKind::invalid_input, "--quorum-k: expected more than half of --quorum-n (" +
                                              std::to_string(wanted.quorum_n) + ") and at most that, found " +
                                              std::to_string(wanted.quorum_k));
  return ok();
}

// The model asked for, or the router's first that will do; the error names the option that none of them
// meets.
Status choose_model(client::ApiClient& api, Options& options) {
  client::NewSession& wanted = options.wanted;
  const auto models = api.models();
  if (!models) return models.error();
  const client::ModelRow* chosen = nullptr;
  for (const client::ModelRow& model : *models) {
    const bool named = wanted.model.empty() || model.id == wanted.model;
    if (named && (options.quantisation.empty() || model.quantisation == options.quantisation)) {
      chosen = &model;
      break;
    }
  }
  if (chosen == nullptr)
    return fail(ErrorKind::not_found, wanted.model.empty() && options.quantisation.empty()
                                          ? "the router serves no model"
                                      : options.quantisation.empty()
                                          ? "--model: the router serves no '" + wanted.model + "'"
                                          : "--quantisation: the router serves no " +
                                                (wanted.model.empty() ? "model" : "'" + wanted.model + "'") +
                                                " in " + options.quantisation);
  const auto within = [&](const char* option, std::int64_t price, const std::optional<std::int64_t>& limit) {
    if (!limit || price <= *limit) return ok();
    return Status(fail(ErrorKind::conflict, std::string(option) + ": " + chosen->id + " costs " +
                                                money(price) + " credits per million tokens, the limit is " +
                                                money(*limit)));
  };
  if (Status status = within("--max-prompt-price", chosen->prompt_price, wanted.max_prompt_price); !status)
    return status;
  wanted.model = chosen->id;
  return within("--max-completion-price", chosen->completion_price, wanted.max_completion_price);
}

Result<Exit> open(Options options) {
  if (Status status = complete(options); !status) return status.error();
  const auto api = connect(options.remote);
  if (!api) return api.error();
  if (Status status = choose_model(**api, options); !status) return status.error();
  auto row = (*api)->create_session(options.wanted);
  if (!row && row.error().kind == ErrorKind::payment_required)
    return std::move(row).error_context("--budget");
  if (!row) return row.error();
  print_all(*row);
  return Exit::success;
}

Result<Exit> list(const Options& options) {
  const auto api = connect(options.remote);
  if (!api) return api.error();
  const auto rows = (*api)->sessions();
  if (!rows) return rows.error();
  const auto balance = (*api)->balance();
  if (!balance) return balance.error();
  std::printf("%-28s %-24s %-10s %-7s %12s %12s  %s\n", "session", "model", "checks", "state", "spent",
              "left", "label");
  for (const client::SessionRow& row : *rows)
    std::printf("%-28s %-24s %-10s %-7s %12s %12s  %s\n", printable_line(row.id).c_str(),
                printable_line(row.model).c_str(), checks_of(row).c_str(), printable_line(row.state).c_str(),
                money(row.spent).c_str(), money(row.hold).c_str(),
                row.implicit ? "(the router's)" : printable_line(row.label).c_str());
  std::printf("In the account: %s credits\n", money(*balance).c_str());
  return Exit::success;
}

Result<Exit> show(const Options& options) {
  const auto api = connect(options.remote);
  if (!api) return api.error();
  const auto row = (*api)->session(options.id);
  if (!row) return row.error();
  print_all(*row);
  return Exit::success;
}

Result<Exit> close(const Options& options) {
  const auto api = connect(options.remote);
  if (!api) return api.error();
  const auto row = (*api)->close_session(options.id);
  if (!row) return row.error();
  std::printf("%s is closed: %s credits spent, %s back in the account\n", printable_line(row->id).c_str(),
              money(row->spent).c_str(), money(row->released).c_str());
  return Exit::success;
}

void add_open(CLI::App& session, const std::shared_ptr<Options>& options) {
  CLI::App* command =
      session.add_subcommand("open", "Set money aside for answers under rules of your choice");
  client::NewSession& wanted = options->wanted;
  command->add_option("-m,--model", wanted.model, "by default the router's first");
  command->add_option("--quantisation", options->quantisation, "only a model in this form")
      ->transform(CLI::IsMember(engine::quantisation_names(), CLI::ignore_case));
  command->add_option("--budget", options->budget, "credits to set aside")
      ->capture_default_str()
      ->transform(credit_amount(1));
  command->add_option("--validation", wanted.validation, "how sure to be of answers")
      ->check(CLI::IsMember({"none", "spot", "full", "quorum"}))
      ->capture_default_str();
  CLI::Option* probability =
      command->add_option("--probability", wanted.probability, "of a check, at level spot")
          ->capture_default_str()
          ->transform(decimal("from 0.000001 to 1", [](double x) { return x >= 0.000001 && x <= 1; }));
  CLI::Option* k =
      command->add_option("--quorum-k", wanted.quorum_k, "equal answers that decide, at level quorum")
          ->capture_default_str()
          ->transform(whole(2, 16));
  CLI::Option* n = command->add_option("--quorum-n", wanted.quorum_n, "miners asked, at level quorum")
                       ->capture_default_str()
                       ->transform(whole(2, 16));
  CLI::Option* redundancy =
      command
          ->add_option("--redundancy", wanted.redundancy, "miners per answer at other levels; each is paid")
          ->capture_default_str()
          ->transform(whole(1, 16));
  command
      ->add_option("--min-speed", wanted.min_tokens_per_second,
                   "only miners expected to make so many tokens a second")
      ->transform(whole(1, kFastest));
  command
      ->add_option("--max-first-token", wanted.max_first_token_ms,
                   "milliseconds; only miners expected to begin by then")
      ->transform(whole(1, kLongestDelay));
  command->add_option("--min-reliability", wanted.min_reliability, "0 to 1; only miners that seldom failed")
      ->transform(decimal("from 0 to 1", [](double x) { return x >= 0 && x <= 1; }));
  command->add_option("--miner", wanted.miners, "only this one, by its node id; may be given again")
      ->expected(1)
      ->take_all()
      ->check(node_id);
  command
      ->add_option("--max-prompt-price", options->max_prompt_price,
                   "credits per million tokens; no dearer model")
      ->transform(credit_amount(0));
  command->add_option("--max-completion-price", options->max_completion_price, "likewise for answer tokens")
      ->transform(credit_amount(0));
  command->add_option("--expires-in", wanted.expires_in_seconds, "seconds, at most 30 days")
      ->capture_default_str()
      ->transform(whole(1, kLongest));
  command->add_option("--label", wanted.label, "to tell sessions apart")->check([](const std::string& text) {
    return text.size() <= kLongestLabel ? "" : "expected at most " + std::to_string(kLongestLabel) + " bytes";
  });
  examples(
      command,
      "  cortensor session open --budget 2 --validation full\n"
      "  cortensor session open --validation spot --probability 0.25 --label 'night run' --expires-in 86400\n"
      "  cortensor session open --validation quorum --quorum-k 2 --quorum-n 2 --max-completion-price 10\n"
      "  cortensor session open --validation none --redundancy 2 --quantisation q8_0\n"
      "  cortensor session open --min-speed 20 --max-first-token 500 --min-reliability 0.9");
  run_with(command, [=]() -> Result<Exit> {
    // Passed over in silence they would be worse than refused.
    const std::string& level = options->wanted.validation;
    for (const CLI::Option* option : {probability, k, n, redundancy}) {
      const bool fits = option == probability  ? level == "spot"
                        : option == redundancy ? level != "quorum"
                                               : level == "quorum";
      if (option->count() > 0 && !fits)
        return fail(ErrorKind::invalid_input, option->get_name() + ": has no meaning at level " + level);
    }
    return open(*options);
  });
}

}  // namespace

void add_session(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* command = root.add_subcommand("session", "Open, look at and close paid sessions");
  command->require_subcommand(1);
  add_remote_options(command, options->remote);
  examples(command,
           "  cortensor session open --budget 2 --validation full\n"
           "  cortensor session list\n"
           "  cortensor session show sess_…\n"
           "  cortensor session close sess_…");
  add_open(*command, options);

  CLI::App* all = command->add_subcommand("list", "All sessions of this key's account");
  examples(all, "  cortensor session list");
  run_with(all, [options] { return list(*options); });

  CLI::App* one = command->add_subcommand("show", "One session, with all its rules and amounts");
  one->add_option("ID", options->id)->required()->check(session_id);
  examples(one, "  cortensor session show sess_…");
  run_with(one, [options] { return show(*options); });

  CLI::App* end = command->add_subcommand("close", "End a session; what is left goes back to the account");
  end->add_option("ID", options->id)->required()->check(session_id);
  examples(end, "  cortensor session close sess_…");
  run_with(end, [options] { return close(*options); });
}

}  // namespace cortensor::app
