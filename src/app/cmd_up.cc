// cortensor up: a whole network on this machine, and with --demo one real answer proven before your eyes.
#include <csignal>
#include <cstdio>
#include <thread>

#include "app/answer_printer.h"
#include "app/command.h"
#include "app/local_network.h"
#include "app/model_path.h"
#include "app/number_option.h"
#include "app/printable.h"
#include "app/shell_words.h"
#include "app/subcommands.h"
#include "app/terminal.h"
#include "base/units.h"

namespace cortensor::app {
namespace {

struct Options {
  LocalNetworkOptions network;
  std::string demo;
  bool once = false;
};

volatile std::sig_atomic_t interrupted = 0;

const char* bold() {
  return takes_colours(STDOUT_FILENO) ? "\x1b[1m" : "";
}
const char* plain() {
  return takes_colours(STDOUT_FILENO) ? "\x1b[0m" : "";
}

void say(const char* step) {
  std::printf("\n%s%s%s\n", bold(), step, plain());
  std::fflush(stdout);
}

// Session, prompt, streamed answer, verdict, receipt, and the receipt re-checked by a process that knows no
// network.
Result<Exit> demonstrate(const LocalNetwork& network, const Options& options) {
  const std::string receipts = options.network.data + "/receipts";
  if (Status made = make_receipts_folder(receipts); !made) return made.error();
  client::ApiClient api({network.url()}, network.api_key());
  const auto model = parse_model(options.network.models.front());
  if (!model) return model.error();

  client::NewSession wanted;
  wanted.model = model->id;
  wanted.budget = kMicroPerCredit;
  wanted.validation = "full";
  auto session = api.create_session(wanted);
  if (!session) return std::move(session).error_context("opening a session");
  say("1  A paid session");
  std::printf("%s: %s credits set aside for %s, every answer checked\n", printable_line(session->id).c_str(),
              to_string(Credits{session->hold}).c_str(), printable_line(session->model).c_str());

  say("2  A prompt, answered by a miner");
  std::printf("> %s\n\n", options.demo.c_str());
  client::ChatRequest request;
  request.model = session->model;
  request.session = session->id;
  request.messages = {{"user", options.demo}};
  request.temperature = 0.7;
  const auto outcome = api.chat(request, print_as_it_comes);
  std::puts("");
  if (!outcome) return outcome.error();

  say("3  Replayed by a validator");
  print_proof(*outcome);
  if (outcome->receipts.empty()) return fail(ErrorKind::internal, "the answer came without a receipt");
  const auto receipt = save_receipt(api, outcome->receipts.front(), receipts);
  if (!receipt) return receipt.error();

  say("4  The receipt, verified offline");
  std::printf("$ %s verify %s --model %s --router %s\n", this_program().c_str(), shell_word(*receipt).c_str(),
              shell_word(model->path).c_str(), network.router().value.c_str());
  std::fflush(stdout);
  auto verify = Process::start(
      "verify", {"verify", *receipt, "--model", model->path, "--router", network.router().value}, "");
  if (!verify) return verify.error();
  const int code = verify->wait();

  auto closed = api.close_session(session->id);
  if (!closed) return std::move(closed).error_context("closing the session");
  std::printf("\nThe session is closed: %s credits spent, the rest is back in the account.\n",
              to_string(Credits{closed->spent}).c_str());
  return code == 0 && outcome->verdict == "VALID" ? Exit::success : Exit::not_valid;
}

void invite(const LocalNetwork& network, const Options& options) {
  say("The network is up");
  std::printf("API      %s/v1\n", network.url().c_str());
  std::printf("key      %s\n", network.api_key().c_str());
  std::printf("logs     %s\n", network.log_folder().c_str());
  say("Try next");
  std::string url = network.url() == "http://127.0.0.1:7600" ? "" : " --url " + network.url();
  if (options.network.data != "local") url += " --key-file " + shell_word(options.network.data + "/api_key");
  const std::string program = this_program();
  std::printf("%s chat%s\n", program.c_str(), url.c_str());
  std::printf("%s session%s list\n", program.c_str(), url.c_str());
  std::printf(
      "curl %s/v1/chat/completions -H 'Authorization: Bearer %s' \\\n"
      "  -d '{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"What is a castle?\"}]}'\n",
      network.url().c_str(), network.api_key().c_str(),
      parse_model(options.network.models.front())->id.c_str());
  std::printf("CORTENSOR_JOIN_TOKEN=%s \\\n  %s miner --join %s --model %s   # one more miner\n",
              network.miner_token().c_str(), program.c_str(), network.join_link().c_str(),
              shell_word(options.network.models.front()).c_str());
  std::printf("\nCtrl-C ends it.\n");
  std::fflush(stdout);
}

Result<Exit> up(Options& options) {
  if (options.network.models.empty()) {
    const auto model = default_model("q8_0");
    if (!model) return model.error();
    options.network.models.push_back(*model);
  }
  std::printf("Starting a router, %d miners and a validator…\n", options.network.miners);
  std::fflush(stdout);
  const auto network = LocalNetwork::start(options.network);
  if (!network) return network.error();

  Exit outcome = Exit::success;
  if (!options.demo.empty()) {
    const auto shown = demonstrate(**network, options);
    if (!shown) return shown.error();
    outcome = *shown;
  }
  if (options.once) return outcome;

  std::signal(SIGINT, [](int) { interrupted = 1; });
  std::signal(SIGTERM, [](int) { interrupted = 1; });
  invite(**network, options);
  while (!interrupted) {
    for (const std::string& name : (*network)->take_lost_nodes())
      std::printf("%s has ended; the network goes on without it. Its log: %s/%s.log\n", name.c_str(),
                  (*network)->log_folder().c_str(), name.c_str());
    std::fflush(stdout);
    if (const Status status = (*network)->check_router(); !status) return status.error();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  std::puts("\nStopping…");
  return outcome;
}

}  // namespace

void add_up(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* command = root.add_subcommand("up", "A whole network on this machine: router, miners, validator");
  command->add_option("--data", options->network.data, "keys, ledger, logs, receipts")->capture_default_str();
  command->add_option("-m,--model", options->network.models,
                      "model file, PATH or ID=PATH; by default the one that comes along");
  command->add_option("--miners", options->network.miners)->capture_default_str()->transform(whole(1, 64));
  command->add_option("--api-port", options->network.api_port, "the first free port from here on")
      ->capture_default_str()
      ->transform(whole(1, 65535));
  command->add_option("--node-port", options->network.node_port, "likewise")
      ->capture_default_str()
      ->transform(whole(1, 65535));
  command->add_option("--demo", options->demo, "answer this prompt and prove it");
  command->add_flag("--once", options->once, "end after the demo; exit 0 only if the verdict is VALID");
  examples(command,
           "  cortensor up\n"
           "  cortensor up --demo 'Tell me a story about a robot.' --once\n"
           "  cortensor up --model big=/models/llama-3.2-1b.q4_0.gguf --miners 1");
  run_with(command, [options] { return up(*options); });
}

}  // namespace cortensor::app
