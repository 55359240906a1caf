// Shows a streamed answer and its proof in a terminal.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

#include "client/api_client.h"

namespace cortensor::app {

// Writes text to standard output as it comes.
void print_as_it_comes(std::string_view text);

// One line: verdict, tokens, cost, receipts.
void print_proof(const client::Outcome& outcome, std::FILE* out = stdout);

// Makes sure that receipts can be saved there; to be asked before an answer is paid for.
Status make_receipts_folder(const std::string& folder);

// Saves the receipt as FOLDER/ID.json and yields the path.
Result<std::string> save_receipt(client::ApiClient& api, const std::string& id, const std::string& folder);

}  // namespace cortensor::app
