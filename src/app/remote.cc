#include "app/remote.h"

#include <fstream>

namespace cortensor::app {

void add_remote_options(CLI::App* command, Remote& remote) {
  command->add_option("--url", remote.url, "the router's API")
      ->envname("CORTENSOR_URL")
      ->capture_default_str();
  command->add_option("--key", remote.key, "API key; by default that of the local network")
      ->envname("CORTENSOR_API_KEY");
  command->add_option("--ca", remote.ca_file, "certificate authority file for https");
}

client::ApiClient connect(const Remote& remote) {
  std::string key = remote.key;
  if (key.empty())
    if (std::ifstream file("local/api_key"); file) std::getline(file, key);
  http::ClientOptions options;
  options.ca_file = remote.ca_file;
  return client::ApiClient(remote.url, key, options);
}

}  // namespace cortensor::app
