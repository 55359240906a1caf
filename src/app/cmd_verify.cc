// cortensor verify: re-check a receipt at home.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "app/command.h"
#include "app/model_path.h"
#include "app/printable.h"
#include "app/subcommands.h"
#include "base/units.h"
#include "verify/receipt_report.h"

namespace cortensor::app {
namespace {

struct Options {
  std::string receipt, model, isa;
  std::size_t threads = 0;
};

constexpr std::uintmax_t kMaxReceiptBytes = 64 << 20;

Result<protocol::Receipt> read_receipt(const std::string& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (error) return fail(ErrorKind::not_found, "receipt " + path + ": " + error.message());
  if (size > kMaxReceiptBytes)
    return fail(ErrorKind::invalid_input, "receipt " + path + ": larger than 64 MiB");
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  auto receipt = protocol::receipt_from_json(text);
  if (!receipt) return std::move(receipt).error_context(path);
  return receipt;
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
  const auto money = [](std::int64_t micro) { return to_string(Credits{micro}); };
  std::printf("receipt   %s, %zu prompt and %zu answer tokens, %s\n", printable(receipt->id).c_str(),
              receipt->request.prompt.size(), receipt->steps.size(), printable(receipt->model.id).c_str());
  std::printf("router    %s, checked at level %s, %s credits\n", printable(receipt->router.value).c_str(),
              std::string(to_string(receipt->level)).c_str(), money(receipt->bill.total).c_str());
  for (const protocol::Commitment& commitment : receipt->commitments)
    std::printf("miner     %s\n", printable(commitment.miner.value).c_str());
  for (const protocol::Verdict& verdict : receipt->verdicts)
    std::printf("verdict   %s by %s\n", std::string(to_string(verdict.outcome)).c_str(),
                printable(verdict.validator.value).c_str());
  for (const std::string& problem : report.problems)
    std::printf("WRONG     %s\n", printable(problem).c_str());
  if (report.problems.empty()) std::puts("papers    signatures, statements, prices and sums are right");
  if (!report.replayed)
    std::printf("replay    not possible: %s\n", printable(report.reason).c_str());
  else if (report.outcome == protocol::Outcome::valid)
    std::printf("replay    every token and digest is right (%s)\n", std::string(engine->isa_name()).c_str());
  else
    std::printf("WRONG     answer position %u: %s\n", report.first_wrong, printable(report.reason).c_str());
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
  command->add_option("--isa", options->isa, "force scalar, avx2 or avx512");
  command->add_option("--threads", options->threads, "0 is one per processor")
      ->capture_default_str()
      ->check(CLI::Range(0, 1024));
  examples(command,
           "  cortensor verify receipt.json --model models/llama-tales-26m.q8_0.gguf\n"
           "Exit code 0 when VALID, 3 when not. Without the model it is at best INCONCLUSIVE.");
  run_with(command, [options] { return verify_receipt(*options); });
}

}  // namespace cortensor::app
