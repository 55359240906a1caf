// How commands find the router they talk to, or several that are as good: --url or CORTENSOR_URL, and a key
// from --key-file, CORTENSOR_API_KEY or the local network's key file. A key is never an argument: every user
// of the machine can read those.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "client/api_client.h"

namespace cortensor::app {

struct Remote {
  std::vector<std::string> urls = {"http://127.0.0.1:7600"};
  std::string key_file;
  std::string ca_file;
};

void add_remote_options(CLI::App* command, Remote& remote);

Result<std::unique_ptr<client::ApiClient>> connect(const Remote& remote);

// The model that is meant when none is named.
Result<std::string> first_model(client::ApiClient& api);

}  // namespace cortensor::app
