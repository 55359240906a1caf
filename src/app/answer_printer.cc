#include "app/answer_printer.h"

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "app/printable.h"
#include "app/terminal.h"
#include "base/units.h"

namespace cortensor::app {
namespace {

// Of receipt ids, which name files here: nothing that could lead out of the folder.
constexpr std::string_view kIdCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

}  // namespace

void print_as_it_comes(std::string_view received) {
  const std::string text = printable(received);
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void print_proof(const client::Outcome& outcome, std::FILE* out) {
  const bool colours = takes_colours(::fileno(out));
  const char* colour = !colours                       ? ""
                       : outcome.verdict == "VALID"   ? "\x1b[32m"
                       : outcome.verdict == "INVALID" ? "\x1b[31m"
                                                      : "\x1b[33m";
  std::fprintf(out, "%s%s%s  %lld prompt and %lld answer tokens, %s credits\n", colour,
               printable_line(outcome.verdict).c_str(), colours ? "\x1b[0m" : "",
               static_cast<long long>(outcome.prompt_tokens),
               static_cast<long long>(outcome.completion_tokens), to_string(Credits{outcome.cost}).c_str());
}

Status make_receipts_folder(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (!error && ::access(folder.c_str(), W_OK | X_OK) != 0) error.assign(errno, std::generic_category());
  if (error) return fail(ErrorKind::unavailable, "receipts folder " + folder + ": " + error.message());
  return ok();
}

Result<std::string> save_receipt(client::ApiClient& api, const std::string& id, const std::string& folder) {
  if (id.empty() || id.find_first_not_of(kIdCharacters) != std::string::npos)
    return fail(ErrorKind::corrupt,
                "the router's receipt id '" + id + "' is not made of letters, digits, _ and -");
  const auto json = api.receipt(id);
  if (!json) return json.error();
  const std::string path = folder + "/" + id + ".json";
  std::ofstream file(path, std::ios::binary);
  file << *json << std::flush;
  if (!file) return fail(ErrorKind::unavailable, "receipt file " + path + ": cannot be written");
  return path;
}

}  // namespace cortensor::app
