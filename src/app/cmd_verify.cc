// cortensor verify: re-check a receipt at home.
#include <algorithm>
#include <cctype>
#include <cstdio>

#include "app/command.h"
#include "app/model_path.h"
#include "app/number_option.h"
#include "app/printable.h"
#include "app/subcommands.h"
#include "app/text_file.h"
#include "base/hex.h"
#include "base/units.h"
#include "verify/receipt_report.h"

namespace cortensor::app {
namespace {

struct Options {
  std::string receipt, model, isa, router;
  std::vector<std::string> miners, validators;
  std::size_t threads = 0;
};

constexpr std::size_t kMaxReceiptBytes = 64 << 20;

Result<protocol::Receipt> read_receipt(const std::string& path) {
  const auto text = read_text_file(path, kMaxReceiptBytes);
  if (!text) return Error(text.error()).context("receipt");
  auto receipt = protocol::receipt_from_json(*text);
  if (!receipt) return std::move(receipt).error_context(path);
  return receipt;
}

// Of a node's or a router's key, in whatever case a person has copied it.
std::string identity(std::string& text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return bytes32_from_hex(text) ? "" : "expected 64 hexadecimal digits, found '" + text + "'";
}

// Whoever signed in this role must be one of those named, if any are; and somebody must have.
void check_identities(const char* role, const std::vector<std::string>& named,
                      const std::vector<NodeId>& signers, std::vector<std::string>& problems) {
  if (named.empty()) return;
  if (signers.empty()) problems.push_back(std::string(role) + ": none has signed, expected " + named.front());
  for (const NodeId& signer : signers)
    if (std::find(named.begin(), named.end(), signer.value) == named.end())
      problems.push_back(std::string(role) + ": signed by " + signer.value +
                         ", which is not the one expected");
}

void check_identities(const Options& options, const protocol::Receipt& receipt,
                      std::vector<std::string>& problems) {
  if (!options.router.empty()) check_identities("router", {options.router}, {receipt.router}, problems);
  std::vector<NodeId> miners, validators;
  for (const protocol::Commitment& commitment : receipt.commitments) miners.push_back(commitment.miner);
  for (const protocol::Verdict& verdict : receipt.verdicts) validators.push_back(verdict.validator);
  check_identities("miner", options.miners, miners, problems);
  check_identities("validator", options.validators, validators, problems);
}

Result<Exit> verify_receipt(const Options& options) {
  const auto receipt = read_receipt(options.receipt);
  if (!receipt) return receipt.error();
  std::unique_ptr<engine::Engine> engine;
  verify::ReceiptReport report;
  if (options.model.empty()) {
    report.problems = verify::check_papers(*receipt);
    report.reason = "no model file was given";
  } else {
    engine::EngineOptions engine_options;
    engine_options.isa = options.isa;
    engine_options.threads = options.threads;
    engine_options.max_sequences = 1;
    auto loaded = load_engine(options.model, engine_options);
    if (!loaded) return loaded.error();
    engine = std::move(*loaded);
    report = verify::check_receipt(*receipt, *engine);
  }
  check_identities(options, *receipt, report.problems);
  const auto money = [](std::int64_t micro) { return to_string(Credits{micro}); };
  const std::string made = receipt->request.embedding > 0
                               ? "an embedding of " + std::to_string(receipt->request.embedding)
                               : std::to_string(receipt->steps.size()) + " answer tokens";
  std::printf("receipt   %s, %zu prompt tokens and %s, %s\n", printable_line(receipt->id).c_str(),
              receipt->request.prompt.size(), made.c_str(), printable_line(receipt->model.id).c_str());
  std::printf("router    %s, checked at level %s, %s credits\n",
              printable_line(receipt->router.value).c_str(), std::string(to_string(receipt->level)).c_str(),
              money(receipt->bill.total).c_str());
  for (const protocol::Commitment& commitment : receipt->commitments)
    std::printf(
        "miner     %s%s\n", printable_line(commitment.miner.value).c_str(),
        commitment.finish ? "" : (", the first " + std::to_string(commitment.count) + " tokens").c_str());
  for (const protocol::Verdict& verdict : receipt->verdicts)
    std::printf("verdict   %s by %s\n", std::string(to_string(verdict.outcome)).c_str(),
                printable_line(verdict.validator.value).c_str());
  for (const std::string& problem : report.problems)
    std::printf("WRONG     %s\n", printable_line(problem).c_str());
  if (report.problems.empty()) std::puts("papers    signatures, statements, prices and sums are right");
  if (options.router.empty())
    std::puts(
        "identity  not compared: is the router's key above the one in your join link or on its operator's "
        "page?\n"
        "          --router KEY compares it for you");
  if (!report.replayed)
    std::printf("replay    not possible: %s\n", printable_line(report.reason).c_str());
  else if (report.outcome == protocol::Outcome::valid)
    std::printf("replay    every token and digest is right (%s)\n", std::string(engine->isa_name()).c_str());
  else
    std::printf("WRONG     answer position %u: %s\n", report.first_wrong,
                printable_line(report.reason).c_str());
  std::puts(report.good()                                 ? "VALID"
            : report.replayed || !report.problems.empty() ? "INVALID"
                                                          : "INCONCLUSIVE");
  return report.good() ? Exit::success : Exit::not_valid;
}

}  // namespace

void add_verify(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      root.add_subcommand("verify", "Re-check a receipt: signatures, prices, and every token by replay");
  command->add_option("RECEIPT", options->receipt, "the receipt's JSON file")->required();
  command->add_option("-m,--model", options->model, "the model file it is about; without it, papers only");
  command->add_option("--router", options->router, "key of the router that must have issued it")
      ->transform(CLI::Validator(identity, "KEY"));
  command->add_option("--miner", options->miners, "key of a miner that may have signed; may be repeated")
      ->transform(CLI::Validator(identity, "KEY"));
  command->add_option("--validator", options->validators, "likewise for the verdict")
      ->transform(CLI::Validator(identity, "KEY"));
  command->add_option("--isa", options->isa, kIsaHelp);
  command->add_option("--threads", options->threads, "0 is one per processor")
      ->capture_default_str()
      ->transform(thread_count());
  examples(command,
           "  cortensor verify receipt.json --model models/llama-tales-26m.q8_0.gguf\n"
           "  cortensor verify receipt.json --model models/llama-tales-26m.q8_0.gguf --router KEY\n"
           "Exit code 0 when VALID, 3 when not. Without the model it is at best INCONCLUSIVE.");
  run_with(command, [options] { return verify_receipt(*options); });
}

}  // namespace cortensor::app
