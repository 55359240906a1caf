// Every subcommand: one function that adds it to the command line. main() runs what was asked for.
#pragma once

#include <CLI/CLI.hpp>

namespace cortensor::app {

void add_up(CLI::App& root);
void add_chat(CLI::App& root);
void add_embed(CLI::App& root);
void add_batch(CLI::App& root);
void add_generate(CLI::App& root);
void add_session(CLI::App& root);
void add_verify(CLI::App& root);
void add_models(CLI::App& root);
void add_convert(CLI::App& root);
void add_quantize(CLI::App& root);
void add_inspect(CLI::App& root);
void add_perplexity(CLI::App& root);
void add_logits(CLI::App& root);
void add_bench(CLI::App& root);
void add_router(CLI::App& root);
void add_miner(CLI::App& root);
void add_validator(CLI::App& root);
void add_account(CLI::App& root);
void add_invite(CLI::App& root);

}  // namespace cortensor::app
