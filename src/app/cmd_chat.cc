// cortensor chat: talk to a model through a router; every answer comes with its verdict.
#include <cstdio>
#include <iostream>

#include "app/answer_printer.h"
#include "app/command.h"
#include "app/progress.h"
#include "app/remote.h"
#include "app/subcommands.h"

namespace cortensor::app {
namespace {

struct Options {
  Remote remote;
  client::ChatRequest request;
  std::string message, receipts;
  double temperature = 0.7;
};

// One question, one answer, one proof.
Result<Exit> ask(client::ApiClient& api, Options& options, const std::string& question) {
  auto& messages = options.request.messages;
  messages.push_back({"user", question});
  const auto outcome = api.chat(options.request, print_as_it_comes());
  std::puts("");
  if (!outcome) {
    messages.pop_back();
    return outcome.error();
  }
  messages.push_back({"assistant", outcome->text});
  print_proof(*outcome);
  if (!options.receipts.empty())
    for (const std::string& id : outcome->receipts) {
      const auto path = save_receipt(api, id, options.receipts);
      if (!path) return path.error();
      std::printf("receipt  %s\n", path->c_str());
    }
  return outcome->verdict == "INVALID" ? Exit::not_valid : Exit::success;
}

Result<Exit> chat(Options& options) {
  auto api = connect(options.remote);
  options.request.temperature = options.temperature;
  if (options.request.model.empty()) {
    const auto models = api.models();
    if (!models) return models.error();
    if (models->empty()) return fail(ErrorKind::not_found, "the router serves no model");
    options.request.model = models->front().id;
  }
  if (!options.message.empty()) return ask(api, options, options.message);

  const bool terminal = standard_output_is_terminal();
  if (terminal) std::printf("%s. Ctrl-D ends the conversation.\n", options.request.model.c_str());
  std::string line;
  while (terminal && std::fputs("> ", stdout), std::fflush(stdout), std::getline(std::cin, line)) {
    if (line.empty()) continue;
    if (const auto answer = ask(api, options, line); !answer)
      std::fprintf(stderr, "cortensor: %s\n", answer.error().message.c_str());
  }
  if (terminal) std::puts("");
  return Exit::success;
}

}  // namespace

void add_chat(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* command = root.add_subcommand("chat", "Talk to a model through a router");
  add_remote_options(command, options->remote);
  command->add_option("MESSAGE", options->message, "one question; without it a conversation is opened");
  command->add_option("-m,--model", options->request.model, "by default the router's first");
  command->add_option("--session", options->request.session,
                      "a session opened before; by default one is opened for you");
  command->add_option("--temperature", options->temperature, "0 is greedy")->capture_default_str();
  command->add_option("--seed", options->request.seed, "same seed, same answer");
  command->add_option("-n,--max-tokens", options->request.max_tokens,
                      "tokens at most; 0 is the router's default");
  command->add_option("--receipts", options->receipts, "folder to save receipts in");
  examples(command,
           "  cortensor chat\n"
           "  cortensor chat 'What is a castle?' --temperature 0\n"
           "  cortensor chat 'Tell me a story about a robot.' --receipts receipts");
  run_with(command, [options] { return chat(*options); });
}

}  // namespace cortensor::app
