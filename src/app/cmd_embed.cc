// cortensor embed: texts to vectors through a router, each with its proof.
#include <charconv>
#include <cstdio>

#include "app/answer_printer.h"
#include "app/command.h"
#include "app/number_option.h"
#include "app/remote.h"
#include "app/subcommands.h"
#include "app/text_file.h"
#include "engine/transcript.h"
#include "protocol/receipt.h"

namespace cortensor::app {
namespace {

struct Options {
  Remote remote;
  client::EmbeddingRequest request;
  std::string receipts;
};

void print_line(const std::vector<float>& elements) {
  std::string line = "[";
  char digits[32];
  for (const float element : elements) {
    if (line.size() > 1) line += ", ";
    line.append(digits, std::to_chars(digits, digits + sizeof digits, element).ptr);
  }
  std::puts((line + ']').c_str());
}

// The receipt at `path` is about these elements.
Status compare(const std::string& path, const std::vector<float>& elements) {
  const auto text = read_text_file(path);
  if (!text) return text.error();
  auto receipt = protocol::receipt_from_json(*text);
  if (!receipt) return std::move(receipt).error_context(path);
  const Digest digest = engine::position_digest(elements, kEmbeddingToken);
  if (receipt->steps.size() != 1 || receipt->steps[0].digest != digest)
    return fail(ErrorKind::corrupt, path + ": the receipt is not about the embedding that came with it");
  return ok();
}

Result<Exit> embed(Options& options) {
  if (!options.receipts.empty())
    if (Status made = make_receipts_folder(options.receipts); !made) return made.error();
  const auto api = connect(options.remote);
  if (!api) return api.error();
  if (options.request.model.empty()) {
    auto model = first_model(**api);
    if (!model) return model.error();
    options.request.model = std::move(*model);
  }
  const auto outcome = (*api)->embed(options.request);
  if (!outcome) return outcome.error();
  for (const auto& elements : outcome->embeddings) print_line(elements);
  print_proof(*outcome, stderr);
  if (!options.receipts.empty())
    for (std::size_t i = 0; i < outcome->receipts.size(); ++i) {
      const auto path = save_receipt(**api, outcome->receipts[i], options.receipts);
      if (!path) return path.error();
      if (Status same = compare(*path, outcome->embeddings[i]); !same) return same.error();
      std::fprintf(stderr, "receipt  %s\n", path->c_str());
    }
  return outcome->verdict == "INVALID" ? Exit::not_valid : Exit::success;
}

}  // namespace

void add_embed(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      root.add_subcommand("embed", "Texts to vectors of length 1, for search: one line of numbers each");
  add_remote_options(command, options->remote);
  command->add_option("TEXT", options->request.input, "one or more")->required();
  command->add_option("-m,--model", options->request.model, "by default the router's first");
  command->add_option("--session", options->request.session,
                      "a session opened before; by default one is opened for you");
  command->add_option("--dimensions", options->request.dimensions, "by default all that the model has")
      ->transform(whole(1, kMaxEmbedding));
  command->add_option("--receipts", options->receipts,
                      "folder to save receipts in, each compared with its vector");
  examples(command,
           "  cortensor embed 'A brave rabbit.' 'Once upon a time'\n"
           "  cortensor embed 'A brave rabbit.' --dimensions 64 --receipts receipts");
  run_with(command, [options] { return embed(*options); });
}

}  // namespace cortensor::app
