// cortensor chat: talk to a model through a router; every answer comes with its verdict.
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <limits>
#include <optional>
#include <utility>

#include "app/answer_printer.h"
#include "app/command.h"
#include "app/ctrl_c.h"
#include "app/line_editor.h"
#include "app/number_option.h"
#include "app/printable.h"
#include "app/progress.h"
#include "app/remote.h"
#include "app/subcommands.h"
#include "app/terminal.h"
#include "app/text_file.h"
#include "protocol/message.h"

namespace cortensor::app {
namespace {

struct Options {
  Remote remote;
  client::ChatRequest request;
  std::optional<std::string> message;
  std::string receipts, grammar, json_schema;
  double temperature = 0.7;
};

// A line on the terminal while nobody has begun to answer.
class WaitingNote {
 public:
  void show(const client::QueuePlace& at) {
    if (!takes_escapes(STDERR_FILENO)) return;
    shown_ = true;
    std::fprintf(stderr, "\r\x1b[Kall miners are busy, place %lld in the queue",
                 static_cast<long long>(at.place));
    if (at.eta_ms) std::fprintf(stderr, ", about %lld s", static_cast<long long>((*at.eta_ms + 999) / 1000));
    std::fflush(stderr);
  }
  void erase() {
    if (std::exchange(shown_, false)) std::fputs("\r\x1b[K", stderr);
  }

 private:
  bool shown_ = false;
};

// One question, one answer, one proof. With a CtrlC, pressing it ends the answer and not the program.
Result<Exit> ask(Options& options, const std::string& question, const CtrlC* ctrl_c = nullptr) {
  const auto api = connect(options.remote);
  if (!api) return api.error();
  std::optional<CtrlCWatch> watch;
  if (ctrl_c != nullptr) watch.emplace(*ctrl_c, [&] { (*api)->cancel(); });

  auto& messages = options.request.messages;
  messages.push_back({"user", question});
  std::string so_far;
  WaitingNote note;
  const auto outcome = (*api)->chat(
      options.request,
      [&](std::string_view text) {
        note.erase();
        so_far += text;
        print_as_it_comes(text);
      },
      [&](const client::QueuePlace& at) { note.show(at); });
  note.erase();
  std::puts("");
  // The next question begins at the router that has answered this one.
  std::stable_partition(options.remote.urls.begin(), options.remote.urls.end(),
                        [&](const std::string& url) { return url == (*api)->router(); });
  if (!outcome && outcome.error().kind == ErrorKind::cancelled && !so_far.empty()) {
    messages.push_back({"assistant", so_far});  // both have seen it
    std::puts("stopped: neither checked nor charged");
    return Exit::interrupted;
  }
  if (!outcome) {
    messages.pop_back();
    return outcome.error();
  }
  messages.push_back({"assistant", outcome->text});
  print_proof(*outcome);
  if (!options.receipts.empty())
    for (const std::string& id : outcome->receipts) {
      const auto path = save_receipt(**api, id, options.receipts);
      if (!path) return path.error();
      std::printf("receipt  %s\n", path->c_str());
    }
  return outcome->verdict == "INVALID" ? Exit::not_valid : Exit::success;
}

bool blank(const std::string& text) {
  return text.find_first_not_of(" \t\r\n") == std::string::npos;
}

// A failure is reported and does not end the conversation.
Exit ask_and_go_on(Options& options, const std::string& question, const CtrlC* ctrl_c = nullptr) {
  if (blank(question)) return Exit::success;
  const auto answer = ask(options, question, ctrl_c);
  return answer ? *answer : report(answer.error());
}

void converse_at_terminal(Options& options) {
  std::printf("%s. Ctrl-C stops an answer, Ctrl-D ends the conversation.\n",
              printable_line(options.request.model).c_str());
  CtrlC ctrl_c;
  LineEditor editor(ctrl_c);
  while (const auto line = editor.read()) ask_and_go_on(options, *line, &ctrl_c);
  std::puts("");
}

// The lines of standard input; yields the last failure, if any.
Exit converse_with_script(Options& options) {
  const bool prompts = standard_output_is_terminal();
  Exit outcome = Exit::success;
  std::string line;
  while (prompts && std::fputs("> ", stdout), std::fflush(stdout), std::getline(std::cin, line)) {
    if (line.ends_with('\r')) line.pop_back();
    if (const Exit exit = ask_and_go_on(options, line); exit != Exit::success) outcome = exit;
  }
  if (prompts) std::puts("");
  return outcome;
}

Result<Exit> chat(Options& options) {
  if (options.message && blank(*options.message)) return fail(ErrorKind::invalid_input, "MESSAGE: is empty");
  options.request.temperature = options.temperature;
  for (const auto& [path, text] : {std::pair{&options.grammar, &options.request.grammar},
                                   {&options.json_schema, &options.request.json_schema}}) {
    if (path->empty()) continue;
    auto read = read_text_file(*path);
    if (!read) return read.error();
    *text = std::move(*read);
  }
  if (!options.receipts.empty())
    if (Status made = make_receipts_folder(options.receipts); !made) return made.error();
  if (options.request.model.empty()) {
    const auto api = connect(options.remote);
    if (!api) return api.error();
    auto model = first_model(**api);
    if (!model) return model.error();
    options.request.model = std::move(*model);
  }
  if (options.message) return ask(options, *options.message);
  if (can_edit_lines()) {
    converse_at_terminal(options);
    return Exit::success;
  }
  return converse_with_script(options);
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
  command->add_option("--temperature", options->temperature, "0 is greedy")
      ->capture_default_str()
      ->transform(temperature());
  command->add_option("--seed", options->request.seed, "same seed, same answer")
      ->transform(whole(0, std::numeric_limits<std::uint64_t>::max()));
  command
      ->add_option("-n,--max-tokens", options->request.max_tokens,
                   "tokens at most; 0 is the router's default")
      ->transform(whole(0, protocol::kMaxAnswerTokens));
  CLI::Option* grammar =
      command->add_option("--grammar", options->grammar, "file with a grammar that answers have to follow");
  command
      ->add_option("--json-schema", options->json_schema,
                   "file with a JSON schema that answers have to follow")
      ->excludes(grammar);
  command->add_option("--receipts", options->receipts, "folder to save receipts in");
  examples(command,
           "  cortensor chat\n"
           "  cortensor chat 'What is a castle?' --temperature 0\n"
           "  cortensor chat 'Tell me a story about a robot.' --receipts receipts\n"
           "  cortensor chat --url https://one.example:7600 --url https://two.example:7600");
  run_with(command, [options] { return chat(*options); });
}

}  // namespace cortensor::app
