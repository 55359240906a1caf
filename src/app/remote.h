// How commands find the router they talk to: --url and --key, or CORTENSOR_URL and CORTENSOR_API_KEY, or the
// local network's key file.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "client/api_client.h"

namespace cortensor::app {

struct Remote {
  std::string url = "http://127.0.0.1:7600";
  std::string key;
  std::string ca_file;
};

void add_remote_options(CLI::App* command, Remote& remote);

client::ApiClient connect(const Remote& remote);

}  // namespace cortensor::app
