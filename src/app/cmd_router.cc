// cortensor router: serves clients, miners and validators.
#include <charconv>
#include <cstdio>

#include "app/command.h"
#include "app/ledger_option.h"
#include "app/model_path.h"
#include "app/number_option.h"
#include "app/secret_file.h"
#include "app/subcommands.h"
#include "base/log.h"
#include "http/asio_executor.h"
#include "router/router_node.h"

namespace cortensor::app {
namespace {

struct Options {
  router::RouterOptions router;
  std::string data, api = "127.0.0.1:7600", nodes = "127.0.0.1:7601", prompt_price, completion_price;
  std::vector<std::string> models;
  int grace_seconds = 10;
};

// HOST:PORT; an IPv6 host stands in brackets.
Status split_address(const std::string& text, std::string& host, std::uint16_t& port) {
  const auto colon = text.rfind(':');
  const auto wrong = fail(ErrorKind::invalid_input, "address '" + text + "': expected HOST:PORT");
  if (colon == std::string::npos || colon == 0) return wrong;
  host = text.substr(0, colon);
  if (host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data() + colon + 1, end, port);
  return parsed.ec == std::errc{} && parsed.ptr == end ? ok() : Status(wrong);
}

Status fill(Options& options) {
  router::RouterOptions& out = options.router;
  out.data = options.data;
  if (Status status = split_address(options.api, out.api_address, out.api_port); !status) return status;
  if (Status status = split_address(options.nodes, out.node_address, out.node_port); !status) return status;
  std::optional<ledger::Price> price;
  if (!options.prompt_price.empty() || !options.completion_price.empty()) {
    auto prompt = parse_credits(options.prompt_price);
    if (!prompt) return std::move(prompt.error()).context("--prompt-price");
    auto completion = parse_credits(options.completion_price);
    if (!completion) return std::move(completion.error()).context("--completion-price");
    price = ledger::Price{*prompt, *completion};
  }
  const auto models = parse_models(options.models);
  if (!models) return models.error();
  for (const NamedModel& model : *models) out.models.push_back({model.id, model.path, price});
  return ok();
}

Result<Exit> run(Options& options) {
  log::set_role("router");
  if (Status status = fill(options); !status) return status.error();
  warn_if_exposed(options.data + "/router.key");
  if (!options.router.tls_key.empty()) warn_if_exposed(options.router.tls_key);
  http::AsioExecutor executor;
  auto node = router::RouterNode::start(options.router, executor);
  if (!node) return node.error();
  log::info("listening", {{"api_port", (*node)->api_port()},
                          {"node_port", (*node)->node_port()},
                          {"router", (*node)->id().value}});
  bool stopping = false;
  executor.on_signal([&](int) {
    if (stopping) return executor.stop();  // the second one is not patient
    stopping = true;
    (*node)->stop(std::chrono::seconds(options.grace_seconds), [&] { executor.stop(); });
  });
  executor.run();
  node->reset();
  log::info("stopped");
  return Exit::success;
}

}  // namespace

void add_router(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* command = root.add_subcommand("router", "Serve clients, miners and validators");
  command->add_option("--data", options->data, "folder for the router's key and ledger; made on first use")
      ->required();
  add_ledger_option(command, options->router.ledger);
  command->add_option("-m,--model", options->models, "model file to serve, PATH or ID=PATH; may be repeated")
      ->required();
  command->add_option("--api", options->api, "address for clients")->capture_default_str();
  command->add_option("--nodes", options->nodes, "address for miners and validators")->capture_default_str();
  command->add_option("--tls-certificate", options->router.tls_certificate,
                      "PEM file: serve clients over HTTPS");
  command->add_option("--tls-key", options->router.tls_key, "PEM file of the certificate's key");
  auto* prompt =
      command->add_option("--prompt-price", options->prompt_price, "credits per million prompt tokens")
          ->transform(credit_amount(0));
  auto* completion =
      command
          ->add_option("--completion-price", options->completion_price, "credits per million answer tokens")
          ->transform(credit_amount(0));
  prompt->needs(completion);
  completion->needs(prompt);
  command->add_option("--grace", options->grace_seconds, "seconds for open answers when told to stop")
      ->capture_default_str()
      ->transform(whole(0, 3600));
  examples(
      command,
      "  cortensor router --data local/router --model models/llama-tales-26m.q8_0.gguf\n"
      "  cortensor router --data /var/lib/cortensor --api 0.0.0.0:443 --nodes 0.0.0.0:7601 \\\n"
      "    --tls-certificate fullchain.pem --tls-key key.pem --model llama=/models/llama-3.2-1b.q8_0.gguf\n"
      "  cortensor router --data /var/lib/cortensor --ledger postgresql://cortensor@db.example/cortensor \\\n"
      "    --model models/llama-tales-26m.q8_0.gguf");
  run_with(command, [options] { return run(*options); });
}

}  // namespace cortensor::app
