#include "app/remote.h"

#include <cstdlib>

#include "app/secret_file.h"

namespace cortensor::app {

void add_remote_options(CLI::App* command, Remote& remote) {
  command->add_option("--url", remote.url, "the router's API")
      ->envname("CORTENSOR_URL")
      ->capture_default_str();
  command->add_option("--key-file", remote.key_file,
                      "file with the API key; by default CORTENSOR_API_KEY, or else local/api_key");
  command->add_option("--ca", remote.ca_file, "certificate authority file for https");
}

Result<std::unique_ptr<client::ApiClient>> connect(const Remote& remote) {
  std::string key;
  if (const char* given = std::getenv("CORTENSOR_API_KEY")) key = given;
  if (!remote.key_file.empty()) {
    auto line = first_line(remote.key_file);
    if (!line) return std::move(line).error_context("--key-file");
    key = std::move(*line);
  } else if (key.empty()) {
    if (auto line = first_line("local/api_key")) key = std::move(*line);
  }
  http::ClientOptions options;
  options.ca_file = remote.ca_file;
  return std::make_unique<client::ApiClient>(remote.url, key, options);
}

}  // namespace cortensor::app
