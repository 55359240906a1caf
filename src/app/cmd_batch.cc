// cortensor batch: many requests from a file, done when there is time, and their answers in another file.
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "app/command.h"
#include "app/ctrl_c.h"
#include "app/printable.h"
#include "app/progress.h"
#include "app/remote.h"
#include "app/subcommands.h"
#include "app/terminal.h"
#include "app/text_file.h"

namespace cortensor::app {
namespace {

constexpr std::size_t kMostInput = 100 * 1024 * 1024;  // that a router takes
constexpr int kLookEvery = 1000;                       // milliseconds

struct Options {
  Remote remote;
  std::string in, out, errors, session, endpoint, id;
};

// It becomes part of a path.
std::string batch_id(const std::string& text) {
  const bool plain = std::all_of(text.begin(), text.end(),
                                 [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '-'; });
  return plain && text.starts_with("batch_")
             ? ""
             : "expected batch_ and letters, digits, _ and -, found '" + text + "'";
}

std::string counts_of(const client::BatchRow& row) {
  return std::to_string(row.completed + row.failed) + " of " + std::to_string(row.total) + " done" +
         (row.failed > 0 ? ", " + std::to_string(row.failed) + " failed" : "");
}

// Where a batch goes follows from where its first line goes.
Result<std::string> endpoint_of(const std::string& input) {
  const auto line = nlohmann::json::parse(input.substr(0, input.find('\n')), nullptr, false);
  if (line.is_object() && line.contains("url") && line["url"].is_string())
    return line["url"].get<std::string>();
  return fail(ErrorKind::invalid_input,
              "line 1: expected {\"custom_id\": …, \"method\": \"POST\", \"url\": …, \"body\": {…}}");
}

// Whole or not at all: under another name until it is.
Status download(client::ApiClient& api, const std::string& file, const std::string& path) {
  const std::string part = path + ".part";
  std::FILE* out = std::fopen(part.c_str(), "wb");
  if (out == nullptr) return fail(ErrorKind::unavailable, path + ": cannot be written");
  const Status came = api.download(file, [&](std::string_view chunk) {
    return std::fwrite(chunk.data(), 1, chunk.size(), out) == chunk.size();
  });
  const bool written = std::fclose(out) == 0;
  std::error_code failed;
  if (came && written) std::filesystem::rename(part, path, failed);
  if (came && written && !failed) return ok();
  std::filesystem::remove(part, failed);
  if (!came && came.error().kind != ErrorKind::cancelled) return came;
  return fail(ErrorKind::unavailable, path + ": cannot be written");
}

// Whether the batch is to be cancelled, as a person says who has pressed Ctrl-C.
bool wants_cancel(const std::string& id) {
  if (::isatty(STDIN_FILENO) == 1) {
    std::fprintf(stderr, "\nCancel %s? Otherwise it goes on without you. [y/N] ", id.c_str());
    std::string answer;
    if (std::getline(std::cin, answer) && (answer == "y" || answer == "Y")) return true;
  }
  std::fprintf(stderr, "%s goes on. Come back with: cortensor batch resume %s FILE\n", id.c_str(),
               id.c_str());
  return false;
}

// Until it has ended; nothing: it was left alone.
Result<std::optional<client::BatchRow>> wait_for_end(client::ApiClient& api, const std::string& id,
                                                     CtrlC& ctrl_c) {
  auto bar = std::make_unique<ProgressBar>("batch");
  bool cancelled = false;
  for (;;) {
    const auto row = api.batch(id);
    // A router that restarts is waited for; the batch goes on by itself.
    if (!row && row.error().kind != ErrorKind::unavailable) return row.error();
    if (row && row->ended()) return std::optional(*row);
    if (row) {
      const std::string doing = counts_of(*row) + (cancelled ? ", being cancelled" : "");
      bar->update(row->total > 0
                      ? static_cast<double>(row->completed + row->failed) / static_cast<double>(row->total)
                      : 0,
                  doing);
    }
    pollfd pressed{ctrl_c.fd(), POLLIN, 0};
    ::poll(&pressed, 1, kLookEvery);
    if (!ctrl_c.take()) continue;
    bar.reset();
    if (cancelled || !wants_cancel(id)) return std::nullopt;
    if (const auto asked = api.cancel_batch(id); !asked && asked.error().kind != ErrorKind::conflict)
      return asked.error();
    cancelled = true;
    bar = std::make_unique<ProgressBar>("batch");
  }
}

Result<Exit> wait_and_fetch(client::ApiClient& api, const std::string& id, const Options& options,
                            CtrlC& ctrl_c) {
  const auto row = wait_for_end(api, id, ctrl_c);
  if (!row) return row.error();
  if (!*row) return Exit::interrupted;
  const client::BatchRow& batch = **row;
  for (const std::string& fault : batch.faults) std::fprintf(stderr, "%s\n", printable_line(fault).c_str());
  const std::string errors = options.errors.empty() ? options.out + ".errors" : options.errors;
  for (const auto& [file, path] : {std::pair{batch.output_file, options.out}, {batch.error_file, errors}})
    if (!file.empty()) {
      if (!batch_id("batch_" + file).empty())
        return fail(ErrorKind::corrupt, "the router's answer names a file that cannot be");
      if (Status fetched = download(api, file, path); !fetched) return fetched.error();
      std::printf("%s\n", path.c_str());
    }
  std::fprintf(stderr, "%s is %s: %s\n", printable_line(batch.id).c_str(),
               printable_line(batch.status).c_str(), counts_of(batch).c_str());
  return batch.status == "completed" && batch.failed == 0 ? Exit::success : Exit::failure;
}

Result<Exit> run(const Options& options) {
  auto input = read_text_file(options.in, kMostInput);
  if (!input) return input.error();
  client::NewBatch wanted;
  wanted.session = options.session;
  wanted.endpoint = options.endpoint;
  if (wanted.endpoint.empty()) {
    auto endpoint = endpoint_of(*input);
    if (!endpoint) return std::move(endpoint).error_context(options.in);
    wanted.endpoint = std::move(*endpoint);
  }
  const auto api = connect(options.remote);
  if (!api) return api.error();
  auto file = (*api)->upload(std::filesystem::path(options.in).filename().string(), *input);
  if (!file) return std::move(file).error_context(options.in);
  *input = {};
  wanted.input_file = std::move(*file);
  const auto batch = (*api)->create_batch(wanted);
  if (!batch) return batch.error();
  if (!batch_id(batch->id).empty()) return fail(ErrorKind::corrupt, "the router's answer is not a batch");
  CtrlC ctrl_c;
  std::fprintf(stderr, "%s\n", batch->id.c_str());
  return wait_and_fetch(**api, batch->id, options, ctrl_c);
}

Result<Exit> resume(const Options& options) {
  const auto api = connect(options.remote);
  if (!api) return api.error();
  CtrlC ctrl_c;
  return wait_and_fetch(**api, options.id, options, ctrl_c);
}

void print_row(const client::BatchRow& row) {
  std::printf("%-30s %-12s %6lld %6lld %6lld  %s\n", printable_line(row.id).c_str(),
              printable_line(row.status).c_str(), static_cast<long long>(row.total),
              static_cast<long long>(row.completed), static_cast<long long>(row.failed),
              printable_line(row.endpoint).c_str());
}

void print_head() {
  std::printf("%-30s %-12s %6s %6s %6s  %s\n", "batch", "status", "lines", "done", "failed", "endpoint");
}

Result<Exit> show(const Options& options, bool cancel) {
  const auto api = connect(options.remote);
  if (!api) return api.error();
  const auto row = cancel ? (*api)->cancel_batch(options.id) : (*api)->batch(options.id);
  if (!row) return row.error();
  print_head();
  print_row(*row);
  for (const std::string& fault : row->faults) std::printf("%s\n", printable_line(fault).c_str());
  return Exit::success;
}

Result<Exit> list(const Options& options) {
  const auto api = connect(options.remote);
  if (!api) return api.error();
  const auto rows = (*api)->batches();
  if (!rows) return rows.error();
  print_head();
  for (const client::BatchRow& row : *rows) print_row(row);
  return Exit::success;
}

void add_outputs(CLI::App* command, const std::shared_ptr<Options>& options) {
  command->add_option("OUT", options->out, "where the answers go, one a line")->required();
  command->add_option("--errors", options->errors, "where lines go that failed; by default OUT.errors");
}

}  // namespace

void add_batch(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* command = root.add_subcommand("batch", "Many requests from a file, done when there is time");
  command->require_subcommand(1);
  add_remote_options(command, options->remote);
  examples(command,
           "  cortensor batch run questions.jsonl answers.jsonl\n"
           "  cortensor batch resume batch_… answers.jsonl\n"
           "  cortensor batch list\n"
           "  cortensor batch cancel batch_…");

  CLI::App* all = command->add_subcommand("run", "Send the requests, wait, and fetch the answers");
  all->add_option("IN", options->in, "one request a line, as in OpenAI's Batch API")->required();
  add_outputs(all, options);
  all->add_option("--session", options->session, "a session opened before; by default one is opened for you");
  all->add_option("--endpoint", options->endpoint, "by default that of the first line");
  examples(all,
           "  cortensor batch run questions.jsonl answers.jsonl --session sess_…\n"
           "A line: {\"custom_id\": \"1\", \"method\": \"POST\", \"url\": \"/v1/chat/completions\", "
           "\"body\": {…}}");
  run_with(all, [options] { return run(*options); });

  CLI::App* again =
      command->add_subcommand("resume", "Wait for a batch that was begun before, and fetch its answers");
  again->add_option("ID", options->id)->required()->check(batch_id);
  add_outputs(again, options);
  examples(again, "  cortensor batch resume batch_… answers.jsonl");
  run_with(again, [options] { return resume(*options); });

  CLI::App* status = command->add_subcommand("status", "How far a batch is");
  status->add_option("ID", options->id)->required()->check(batch_id);
  examples(status, "  cortensor batch status batch_…");
  run_with(status, [options] { return show(*options, false); });

  CLI::App* cancel = command->add_subcommand("cancel", "End a batch; what is done stays");
  cancel->add_option("ID", options->id)->required()->check(batch_id);
  examples(cancel, "  cortensor batch cancel batch_…");
  run_with(cancel, [options] { return show(*options, true); });

  CLI::App* rows = command->add_subcommand("list", "The newest batches of this key's account");
  examples(rows, "  cortensor batch list");
  run_with(rows, [options] { return list(*options); });
}

}  // namespace cortensor::app
