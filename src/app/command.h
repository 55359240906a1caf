// What the subcommands share: exit codes, and how an error reaches the user.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "base/result.h"

namespace cortensor::app {

// The process's exit code. 0 is success; what the user asked for was done.
enum class Exit : int {
  success = 0,
  failure = 1,       // it could not be done: the message says why
  usage = 2,         // the command line makes no sense
  not_valid = 3,     // an answer or a receipt was checked, and is wrong or could not be confirmed
  interrupted = 130  // Ctrl-C
};

// Prints the error to standard error; yields the exit code for it.
Exit report(const Error& error);

// Runs `work` when the subcommand is chosen, reports its error and sets the exit code.
void run_with(CLI::App* command, std::function<Result<Exit>()> work);

// Of --isa, wherever a command computes.
inline constexpr const char* kIsaHelp =
    "force scalar, avx2, avx512, amx or neon; by default the best there is (or CORTENSOR_ISA)";

// A footer of examples for --help: one command per line.
void examples(CLI::App* command, std::string text);

}  // namespace cortensor::app
