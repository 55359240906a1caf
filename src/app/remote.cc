#include "app/remote.h"

#include <algorithm>
#include <cstdlib>

#include "app/secret_file.h"

namespace cortensor::app {

void add_remote_options(CLI::App* command, Remote& remote) {
  command
      ->add_option("--url", remote.urls,
                   "the router's API; of several (repeated, or with commas) one that answers is used")
      ->envname("CORTENSOR_URL")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->default_str(remote.urls.front());
  command->add_option("--key-file", remote.key_file,
                      "file with the API key; by default CORTENSOR_API_KEY, or else local/api_key");
  command->add_option("--ca", remote.ca_file, "certificate authority file for https");
}

namespace {

constexpr const char* kLocalKey = "local/api_key";

// No router makes another key; and what else is in a file named by mistake is nobody's business.
Result<std::string> checked(std::string key, const std::string& source) {
  if (std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c < 0x7f; })) return key;
  return fail(
      ErrorKind::invalid_input,
      source + ": expected an API key, which is printable ASCII without spaces, found something else");
}

Result<std::string> key_of(const Remote& remote) {
  if (!remote.key_file.empty()) {
    auto line = first_line(remote.key_file);
    if (!line) return std::move(line).error_context("--key-file");
    return checked(std::move(*line), "--key-file: " + remote.key_file);
  }
  if (const char* given = std::getenv("CORTENSOR_API_KEY"); given != nullptr && *given != 0)
    return checked(given, "CORTENSOR_API_KEY");
  auto line = first_line(kLocalKey);
  return line ? checked(std::move(*line), kLocalKey) : std::string();
}

}  // namespace

Result<std::unique_ptr<client::ApiClient>> connect(const Remote& remote) {
  const auto key = key_of(remote);
  if (!key) return key.error();
  http::ClientOptions options;
  options.ca_file = remote.ca_file;
  return std::make_unique<client::ApiClient>(remote.urls, *key, options);
}

Result<std::string> first_model(client::ApiClient& api) {
  auto models = api.models();
  if (!models) return std::move(models).error();
  if (models->empty()) return fail(ErrorKind::not_found, "the router serves no model");
  return models->front().id;
}

}  // namespace cortensor::app
